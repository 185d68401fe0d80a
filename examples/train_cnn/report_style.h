// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace train_cnn {

/// The report's style sheet: light, dark, narrow screens and print.
/// Colours are triples, so that a cell can set its own opacity: rgba(var(--good), .4).
inline constexpr std::string_view kReportStyle = R"(
:root{color-scheme:light dark;
--page:#f5f4f0;--card:#fff;--ink:#17191e;--soft:#5d6470;--line:#e4e3de;--well:#f1f0ec;
--train:#2f6fd0;--test:#d9581f;--good:47,111,208;--bad:217,88,31;--low:38,104,196;--high:201,66,32;
--shade:0 1px 2px rgba(20,20,30,.05),0 6px 20px rgba(20,20,30,.05)}
@media (prefers-color-scheme:dark){:root{
--page:#0f1114;--card:#181b20;--ink:#eceef2;--soft:#9ba3b0;--line:#2b2f37;--well:#20242b;
--train:#6aa5f7;--test:#f58b50;--good:74,140,232;--bad:232,112,58;--low:92,158,250;--high:244,116,72;
--shade:none}}
@media print{:root{color-scheme:light;
--page:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#ddd;--well:#f3f3f3;
--train:#2f6fd0;--test:#d9581f;--good:47,111,208;--bad:217,88,31;--low:38,104,196;--high:201,66,32;
--shade:none}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;
-webkit-text-size-adjust:100%;-webkit-print-color-adjust:exact;print-color-adjust:exact}
main{max-width:1080px;margin:0 auto;padding:40px 20px 56px}
h1,h2,h3,p,figure,ul{margin:0;padding:0}
h1{font-size:1.05rem;font-weight:600;color:var(--soft)}
h2{font-size:1.3rem;line-height:1.25;letter-spacing:-.012em;font-weight:680}
h3{font-size:.98rem;font-weight:620;overflow-wrap:anywhere}
.say{color:var(--soft);max-width:68ch;margin:.3rem 0 1.1rem}
.say b{color:var(--ink);font-weight:600}
section{background:var(--card);border:1px solid var(--line);border-radius:16px;
box-shadow:var(--shade);padding:26px 28px;margin-top:20px}
header{display:flex;gap:24px 56px;align-items:center;justify-content:space-between;
padding:4px 4px 12px}
header>:first-child{flex:1;min-width:0}
.big{font-size:clamp(4rem,13vw,7rem);line-height:1.02;letter-spacing:-.045em;font-weight:720;
margin:.06em 0 .04em -.04em;font-variant-numeric:tabular-nums}
.big small{font-size:.5em;font-weight:600;letter-spacing:0;color:var(--soft)}
.lead{font-size:1.12rem;max-width:46ch}
.sub{color:var(--soft);max-width:60ch}
.waffle{width:190px;flex:none}
.waffle svg{display:block;width:100%}
.waffle p{color:var(--soft);font-size:.82rem;margin-top:.55rem;text-align:center}
.waffle .r{fill:var(--train)}.waffle .w{fill:var(--test)}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,330px),1fr));gap:28px 36px}
.two>*{min-width:0}
.legend{display:flex;flex-wrap:wrap;gap:2px 18px;font-size:.88rem;color:var(--soft);
margin:.15rem 0 .5rem}
.legend b{color:var(--ink);font-weight:600;font-variant-numeric:tabular-nums}
.legend i{display:inline-block;width:16px;height:3px;border-radius:2px;vertical-align:middle;
margin-right:7px;background:var(--train)}
.legend i.test{background:var(--test)}
.legend i.dash{height:0;border-top:2px dashed var(--soft);background:none;border-radius:0}
.legend i.band{height:10px;opacity:.25}
svg.chart{display:block;width:100%;height:auto;overflow:visible}
svg text{font-size:12px;fill:var(--soft);font-variant-numeric:tabular-nums}
svg .name{paint-order:stroke;stroke:var(--card);stroke-width:5px;stroke-linejoin:round}
svg .end{text-anchor:end}svg .mid{text-anchor:middle}
svg .grid{stroke:var(--line)}svg .axis{stroke:var(--soft);stroke-opacity:.6}
svg .same{stroke:var(--soft);stroke-width:1.5;stroke-dasharray:5 4}
svg .line{fill:none;stroke-width:2.25;stroke-linejoin:round;stroke-linecap:round}
svg .fine{fill:none;stroke-width:1;stroke-linejoin:round;stroke-opacity:.55}
svg .band{stroke:none;fill-opacity:.16}
svg .line.train,svg .fine.train{stroke:var(--train)}svg .line.test{stroke:var(--test)}
svg .band.train{fill:var(--train)}
svg .dot{stroke:var(--card);stroke-width:1}svg .dot.many{stroke:none}
svg .dot.train{fill:var(--train)}svg .dot.test{fill:var(--test)}
svg .dot.channel{fill:var(--train);fill-opacity:.8}
svg .hit{fill:transparent;stroke:none;fill-opacity:1}
svg .dot:hover{stroke:var(--ink);stroke-width:1.5}svg .dot:hover .hit{stroke:none}
.wide{overflow-x:auto;margin:0 -6px;padding:0 6px}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
table.rows{width:100%;font-size:.92rem}
.rows th{font-weight:500;color:var(--soft);font-size:.84rem;text-align:right;padding:4px 10px 8px;
vertical-align:bottom}
.rows td{text-align:right;padding:6px 10px;border-top:1px solid var(--line);white-space:nowrap}
.rows .best td{background:rgba(var(--good),.12);font-weight:620}
.confusion{border-collapse:separate;border-spacing:2px;width:100%;
font-size:.9rem;table-layout:fixed}
.confusion td{height:42px;text-align:center;border-radius:5px;background:var(--well);padding:0}
.confusion td.ok{background:rgba(var(--good),var(--a))}
.confusion td.no{background:rgba(var(--bad),var(--a))}
.confusion td.on{color:#fff;font-weight:600}
.confusion td.none{color:var(--soft);opacity:.55}
.confusion td.rate{background:none;color:var(--soft);font-size:.92em;white-space:nowrap}
.confusion tbody th{text-align:right;font-weight:550;padding:0 8px 0 0;line-height:1.1;
overflow-wrap:anywhere}
.confusion thead th{vertical-align:bottom;padding:0 0 6px;font-weight:550}
.confusion thead span{writing-mode:vertical-rl;transform:rotate(180deg);white-space:nowrap;
line-height:1.1;display:inline-block;text-align:left}
.confusion .corner{width:118px;font-size:.8rem;color:var(--soft);font-weight:400;text-align:right;
padding-right:8px;line-height:1.3;white-space:nowrap}
.confusion .last{width:66px;color:var(--soft);font-weight:400}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(138px,1fr));gap:24px 20px}
.gallery figure{break-inside:avoid;min-width:0}
.gallery img{display:block;width:100%;height:auto;border-radius:10px;image-rendering:pixelated;
background:#000;border:1px solid var(--line)}
.gallery figcaption{font-size:.86rem;line-height:1.32;margin-top:.5rem;overflow-wrap:anywhere}
.gallery .sure{display:block;height:4px;border-radius:2px;background:var(--well);margin:.35rem 0}
.gallery .sure i{display:block;height:100%;border-radius:2px;background:var(--test)}
.gallery b{font-weight:620}
.gallery small{display:flex;flex-wrap:wrap;column-gap:.7em;color:var(--soft);font-size:.76rem;font-variant-numeric:tabular-nums}
.filters{display:grid;grid-template-columns:repeat(auto-fill,minmax(50px,1fr));gap:10px}
.filters svg{display:block;width:100%;height:auto;background:var(--well);border-radius:6px;
border:1px solid var(--line)}
.filters .p,.scale .p{fill:rgb(var(--high))}.filters .n{fill:rgb(var(--low))}
.scale{display:flex;align-items:center;gap:10px;color:var(--soft);font-size:.86rem;
margin-top:1rem;font-variant-numeric:tabular-nums}
.scale i{width:190px;height:10px;border-radius:5px;background:
linear-gradient(90deg,rgb(var(--low)),rgba(var(--low),0) 50%,rgba(var(--high),0) 50%,rgb(var(--high)))
,var(--well)}
.norm{display:grid;grid-template-columns:minmax(150px,220px) 1fr 1fr;gap:12px 32px}
.norm>*{min-width:0}
.norm+.norm{border-top:1px solid var(--line);margin-top:24px;padding-top:22px}
.settings{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,270px),1fr));
gap:0 36px;margin:.9rem 0 0}
.settings div{display:flex;justify-content:space-between;gap:16px;padding:7px 0;
border-bottom:1px solid var(--line)}
.settings dt{color:var(--soft)}
.settings dd{margin:0;text-align:right;font-variant-numeric:tabular-nums;overflow-wrap:anywhere;
min-width:0}
summary{cursor:pointer;color:var(--soft);margin:.2rem 0 .6rem}
footer{color:var(--soft);font-size:.84rem;padding:22px 4px 0}
@media (max-width:620px){
main{padding:22px 12px 36px}
section{padding:20px 16px;border-radius:13px;margin-top:14px}
header{padding:0 4px 6px;gap:14px;align-items:flex-end}
.big{font-size:3.3rem}.lead{font-size:1rem}.sub{font-size:.86rem}
.waffle{width:112px}.waffle p{font-size:.7rem;white-space:nowrap}
svg text{font-size:14px}
.confusion{font-size:.68rem;border-spacing:1px}
.confusion td{height:28px;border-radius:3px}
.confusion .corner{width:62px;font-size:.6rem;padding-right:4px}
.confusion tbody th{padding-right:4px}
.confusion .last{width:38px}
.confusion td.rate{font-size:.82em;letter-spacing:-.03em}
.gallery{grid-template-columns:repeat(auto-fill,minmax(92px,1fr));gap:18px 12px}
.filters{grid-template-columns:repeat(8,1fr);gap:7px}
.norm{grid-template-columns:1fr}
.rows th,.rows td{padding-left:3px;padding-right:3px}
table.rows{font-size:.8rem}.rows th{font-size:.72rem}
}
@media print{
main{padding:0;max-width:none}
section{border:0;padding:14px 0;border-top:1px solid var(--line);border-radius:0;margin:0}
h2,.say,.legend{break-after:avoid}
.two>*,.norm,table,tr,.filters,.waffle{break-inside:avoid}
.two{grid-template-columns:1fr 1fr}
.big{font-size:5rem}
.gallery{grid-template-columns:repeat(6,1fr);gap:16px}
.gallery figcaption{font-size:.78rem}.gallery img{max-width:96px}
.filters{grid-template-columns:repeat(16,1fr);gap:6px}
svg .hit{display:none}
}
)";

}  // namespace train_cnn
