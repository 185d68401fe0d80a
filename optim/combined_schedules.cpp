// SPDX-License-Identifier: Apache-2.0
#include "combined_schedules.h"

#include <algorithm>
#include <utility>

#include "../core/error.h"

namespace tern::optim {

CombinedSchedule::CombinedSchedule(const char* name, Optimizer& optimizer,
                                   std::vector<std::reference_wrapper<LRScheduler>> schedules)
    : LRScheduler(optimizer), parts_(std::move(schedules)) {
  if (parts_.empty()) fail(name, "schedules is empty, want at least one");
  for (auto part = parts_.begin(); part != parts_.end(); ++part) {
    const char* kind = part->get().name();
    if (&part->get().optimizer_ != &optimizer) {
      fail(name, "a schedule (", kind, ") runs on another optimizer, want all on the same");
    }
    if (part->get().combined_) {
      fail(name, "a schedule (", kind, ") is part of another one, want one that is not");
    }
    const auto is_same = [&](const auto& other) { return &other.get() == &part->get(); };
    if (std::any_of(parts_.begin(), part, is_same)) {
      fail(name, "a schedule (", kind, ") is given twice, want each once");
    }
  }
  for (LRScheduler& part : parts_) part.withdraw();
}

double CombinedSchedule::rate_of(size_t i, int64_t epoch, size_t group) const {
  return parts_[i].get().rate(epoch, group);
}

void CombinedSchedule::advance(size_t i, int64_t epoch, size_t group) {
  parts_[i].get().epoch_ = epoch;
  parts_[i].get().on_epoch(epoch, group);
}

namespace {

std::vector<std::reference_wrapper<LRScheduler>> checked(
    const char* op, std::vector<std::reference_wrapper<LRScheduler>> schedules,
    const std::vector<int64_t>& milestones) {
  if (milestones.size() + 1 != schedules.size()) {
    fail(op, "milestones has ", milestones.size(), " epochs and schedules ", schedules.size(),
         ", want one milestone between two schedules");
  }
  int64_t before = 0;
  for (const int64_t milestone : milestones) {
    if (milestone <= before) {
      fail(op, "a milestone is ", milestone, ", want one above ", before, ", the one before");
    }
    before = milestone;
  }
  return schedules;
}

}  // namespace

SequentialLR::SequentialLR(Optimizer& optimizer,
                           std::vector<std::reference_wrapper<LRScheduler>> schedules,
                           std::vector<int64_t> milestones)
    : CombinedSchedule("SequentialLR", optimizer,
                       checked("SequentialLR", std::move(schedules), milestones)),
      milestones_(std::move(milestones)) {
  start();
}

SequentialLR::Position SequentialLR::position(int64_t epoch) const {
  const auto next = std::upper_bound(milestones_.begin(), milestones_.end(), epoch);
  const auto i = static_cast<size_t>(next - milestones_.begin());
  return {i, i == 0 ? epoch : epoch - milestones_[i - 1]};
}

double SequentialLR::rate(int64_t epoch, size_t group) const {
  const Position now = position(epoch);
  return rate_of(now.schedule, now.epoch, group);
}

void SequentialLR::on_epoch(int64_t epoch, size_t group) {
  const Position now = position(epoch);
  advance(now.schedule, now.epoch, group);
}

ChainedScheduler::ChainedScheduler(Optimizer& optimizer,
                                   std::vector<std::reference_wrapper<LRScheduler>> schedules)
    : CombinedSchedule("ChainedScheduler", optimizer, std::move(schedules)) {
  start();
}

double ChainedScheduler::rate(int64_t epoch, size_t group) const {
  double lr = base_lr(group);
  for (size_t i = 0; i < count() && lr > 0; ++i) {
    lr *= rate_of(i, epoch, group) / base_lr(group);
  }
  return lr;
}

void ChainedScheduler::on_epoch(int64_t epoch, size_t group) {
  for (size_t i = 0; i < count(); ++i) advance(i, epoch, group);
}

}  // namespace tern::optim
