//! Cost against size, as SVG.

use super::Cell;
use std::fmt::Write as _;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const MARGIN: f64 = 56.0;
const COLOURS: [&str; 8] =
    ["#1b6ca8", "#e07b39", "#3a8f5c", "#b23a48", "#7b5ea7", "#8a6d3b", "#444444", "#c2a83e"];

/// A line for each tool and task, both axes logarithmic: what grows linearly rises at 45 degrees.
pub(super) fn svg(title: &str, unit: &str, cells: &[&Cell]) -> String {
    let x = Axis::new(cells.iter().map(|it| it.size as f64), MARGIN, WIDTH - MARGIN);
    let y = Axis::new(cells.iter().map(|it| it.cost.wall.max(0.001)), HEIGHT - MARGIN, MARGIN);
    let mut lines: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for cell in cells {
        let name = format!("{}, {}", cell.tool, cell.task);
        let point = (x.place(cell.size as f64), y.place(cell.cost.wall.max(0.001)));
        match lines.iter_mut().find(|it| it.0 == name) {
            Some((_, points)) => points.push(point),
            None => lines.push((name, vec![point])),
        }
    }
    let height = HEIGHT + 18.0 * lines.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{MARGIN}\" y=\"24\" font-size=\"15\">{title}: seconds against {unit}</text>\n"
    );
    grid(&mut svg, &x, &y);
    for (number, (name, points)) in lines.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let at = HEIGHT + 18.0 * number as f64;
        put(
            &mut svg,
            format_args!(
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>\n\
             <rect x=\"{MARGIN}\" y=\"{at}\" width=\"14\" height=\"4\" fill=\"{colour}\"/>\n\
             <text x=\"{}\" y=\"{}\">{name}</text>\n",
                path.join(" "),
                MARGIN + 22.0,
                at + 6.0
            ),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn grid(svg: &mut String, x: &Axis, y: &Axis) {
    for value in x.marks() {
        let at = x.place(value);
        put(
            svg,
            format_args!(
                "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{MARGIN}\" y2=\"{}\" stroke=\"#dddddd\"/>\n\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{value}</text>\n",
                HEIGHT - MARGIN,
                HEIGHT - MARGIN + 16.0
            ),
        );
    }
    for value in y.marks() {
        let at = y.place(value);
        put(
            svg,
            format_args!(
                "<line x1=\"{MARGIN}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>\n\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>\n",
                WIDTH - MARGIN,
                MARGIN - 6.0,
                at + 4.0
            ),
        );
    }
}

fn put(svg: &mut String, text: std::fmt::Arguments<'_>) {
    svg.write_fmt(text).expect("writing to a string");
}

/// From values to places.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Axis {
        let (mut low, mut high) = (f64::MAX, f64::MIN);
        for value in values {
            low = low.min(value);
            high = high.max(value);
        }
        Axis { low, high: high.max(low * 1.01), from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let part = (value / self.low).ln() / (self.high / self.low).ln();
        self.from + part * (self.to - self.from)
    }

    /// Powers of ten with their double and fivefold, within the axis.
    fn marks(&self) -> Vec<f64> {
        let steps = (-3..7).flat_map(|power| [1.0, 2.0, 5.0].map(|it| it * 10f64.powi(power)));
        let rounded = steps.map(|it| (it * 1000.0).round() / 1000.0);
        rounded.filter(|it| (self.low..=self.high).contains(it)).collect()
    }
}
