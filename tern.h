// SPDX-License-Identifier: Apache-2.0
/// All of Tern. Each header can also be included by itself: <tern/nn/batch_norm.h>.
#pragma once

#include "core/autograd.h"
#include "core/counters.h"
#include "core/dtype.h"
#include "core/error.h"
#include "core/gradcheck.h"
#include "core/random.h"
#include "core/shape.h"
#include "core/tensor.h"
#include "core/threads.h"
#include "core/version.h"

#include "ops/activations.h"
#include "ops/arithmetic.h"
#include "ops/backend.h"
#include "ops/batch_norm.h"
#include "ops/conv.h"
#include "ops/dropout.h"
#include "ops/loss.h"
#include "ops/math.h"
#include "ops/matmul.h"
#include "ops/movement.h"
#include "ops/pool.h"
#include "ops/reduce.h"
#include "ops/softmax.h"
#include "ops/window.h"
