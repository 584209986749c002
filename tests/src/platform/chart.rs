//! Draws a picture of the results: the targets that Prometheus scrapes, and how an autoscaler scaled.

use policy_diagram::escaped;

use super::prometheus::ActiveTarget;

/// The state of an autoscaler at a point in time.
#[derive(Clone, Copy, Debug)]
pub struct AutoscalerSample {
    /// Seconds since the load began.
    pub at: f64,
    /// The desired number of pods.
    pub desired: f64,
    /// The value of the scaling metric per pod; NaN if there is none.
    pub value: f64,
}

/// An autoscaler and its samples.
#[derive(Clone, Debug)]
pub struct AutoscalerHistory {
    /// `shop/web`.
    pub name: String,
    /// `http_requests_per_second`.
    pub metric: String,
    /// The target value of the metric per pod.
    pub target: f64,
    /// The minimum and maximum number of pods.
    pub bounds: (f64, f64),
    /// Samples from before the load until the autoscaler has scaled.
    pub moments: Vec<AutoscalerSample>,
}

const ROW: f64 = 20.0;
const LEFT: f64 = 560.0;
const GRAPH: (f64, f64) = (480.0, 180.0);

const STYLE: &str = "<style>\
svg{background:#fff;color:#1b1f24;font:13px system-ui,sans-serif}text{fill:currentColor}\
.h{font-size:16px;font-weight:600}.s{fill:#57606a}.up{fill:#1a7f37}.down{fill:#cf222e}\
.a{stroke:#d0d7de;fill:none}.d{stroke:#0969da;stroke-width:2;fill:none}.v{stroke:#9a6700;stroke-width:2;fill:none}\
.t{stroke:#9a6700;stroke-dasharray:4 4}.b{stroke:#0969da;stroke-dasharray:4 4}\
@media(prefers-color-scheme:dark){svg{background:#0d1117;color:#e6edf3}.s{fill:#9198a1}.a{stroke:#3d444d}.up{fill:#3fb950}\
.d,.b{stroke:#4493f8}.v,.t{stroke:#d29922}}</style>";

/// The picture, as SVG.
pub fn svg(targets: &[ActiveTarget], scaled: &AutoscalerHistory) -> String {
    let height = (targets.len() as f64 * ROW + 110.0).max(2.0 * GRAPH.1 + 220.0);
    let width = LEFT + GRAPH.0 + 110.0;
    let up = targets.iter().filter(|target| target.health == "up").count();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"{up} of {} targets are up; {} scaled from {} to {} pods\">{STYLE}",
        targets.len(),
        escaped(&scaled.name),
        scaled.moments.first().map_or(0.0, |moment| moment.desired),
        scaled.moments.last().map_or(0.0, |moment| moment.desired),
    );
    text(&mut svg, (20.0, 30.0), "h", &format!("Targets of Prometheus: {up} of {} up", targets.len()));
    for (i, target) in targets.iter().enumerate() {
        let y = 60.0 + i as f64 * ROW;
        let class = if target.health == "up" { "up" } else { "down" };
        text(&mut svg, (20.0, y), class, if target.health == "up" { "● up" } else { "○ down" });
        text(&mut svg, (80.0, y), "", &target.pool);
        text(&mut svg, (360.0, y), "s", &target.address);
    }
    let AutoscalerHistory { name, metric, target, bounds, moments } = scaled;
    text(&mut svg, (LEFT, 30.0), "h", &format!("HorizontalPodAutoscaler {name}"));
    let pods: Vec<(f64, f64)> = moments.iter().map(|moment| (moment.at, moment.desired)).collect();
    graph(&mut svg, 60.0, "desired pods", &pods, (bounds.1, "b", format!("at most {}", bounds.1)), "d");
    let values: Vec<(f64, f64)> = moments
        .iter()
        .filter(|moment| moment.value.is_finite())
        .map(|moment| (moment.at, moment.value))
        .collect();
    let wanted = (*target, "t", format!("target {target}"));
    graph(&mut svg, 130.0 + GRAPH.1, &format!("{metric} per pod"), &values, wanted, "v");
    svg.push_str("</svg>\n");
    svg
}

fn text(svg: &mut String, (x, y): (f64, f64), class: &str, label: &str) {
    svg.push_str(&format!("<text x=\"{x}\" y=\"{y}\" class=\"{class}\">{}</text>", escaped(label)));
}

/// Draws a line over time with its own scale, and a horizontal line for the bound or target.
fn graph(
    svg: &mut String,
    top: f64,
    title: &str,
    points: &[(f64, f64)],
    (level, class, label): (f64, &str, String),
    line: &str,
) {
    text(svg, (LEFT, top), "", title);
    let (top, bottom) = (top + 12.0, top + 12.0 + GRAPH.1);
    let last = points.last().map_or(1.0, |(at, _)| at.max(1.0));
    let highest = points.iter().map(|(_, value)| *value).fold(level, f64::max) * 1.1;
    let place = |at: f64, value: f64| (LEFT + at / last * GRAPH.0, bottom - value / highest * GRAPH.1);
    let (right, y) = (LEFT + GRAPH.0, place(0.0, level).1);
    svg.push_str(&format!("<path class=\"a\" d=\"M{LEFT} {top}V{bottom}H{right}\"/>"));
    svg.push_str(&format!("<path class=\"{class}\" d=\"M{LEFT} {y:.1}H{right}\"/>"));
    text(svg, (right + 6.0, y + 4.0), "s", &label);
    let path: Vec<String> = points
        .iter()
        .map(|(at, value)| {
            let (x, y) = place(*at, *value);
            format!("{x:.1} {y:.1}")
        })
        .collect();
    svg.push_str(&format!("<path class=\"{line}\" d=\"M{}\"/>", path.join("L")));
    // The first and the last value.
    for (at, value) in points.first().into_iter().chain(points.last()) {
        let (x, y) = place(*at, *value);
        text(svg, (x + 4.0 - if *at > 0.0 { 30.0 } else { 0.0 }, y - 6.0), "s", &format!("{value:.0}"));
    }
    text(svg, (LEFT, bottom + 18.0), "s", "0 s");
    text(svg, (right - 30.0, bottom + 18.0), "s", &format!("{last:.0} s"));
}
