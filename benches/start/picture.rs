//! Draws the recorded figures: three rows of the table in docs/performance.md.

use std::{fs, path::Path};

use crate::svg::Picture;

/// The page with the recorded figures.
const PAGE: &str = "docs/performance.md";

/// The file for the picture.
const PICTURE: &str = "docs/performance.svg";

/// The functions in the columns of the table, with the classes of their bars.
const FUNCTIONS: [(&str, &str); 3] = [
    ("this function", "blue"),
    ("an empty Rust function", "gray"),
    ("a Python function with boto3", "orange"),
];

/// A part of the picture, with a row of the table.
struct Part {
    title: &'static str,
    /// The first words of the row.
    row: &'static str,
    unit: &'static str,
    /// The values with labels on the axis. The axis ends at the last.
    axis: [f64; 5],
}

const PARTS: [Part; 3] = [
    Part {
        title: "First answer over TLS, at the CPU share of 128 MB",
        row: "the same at the CPU share of 128 MB: first answer, ms",
        unit: "ms",
        axis: [0.0, 100.0, 200.0, 300.0, 400.0],
    },
    Part {
        title: "Start and first answer over http, with the whole CPU",
        row: "one record, http: init + first answer, ms",
        unit: "ms",
        axis: [0.0, 100.0, 200.0, 300.0, 400.0],
    },
    Part {
        title: "Peak memory, over TLS",
        row: "peak memory, TLS, MB",
        unit: "MB",
        axis: [0.0, 20.0, 40.0, 60.0, 80.0],
    },
];

const WIDTH: f64 = 760.0;
const LEFT: f64 = 216.0;
/// The width of an axis.
const AXIS: f64 = 500.0;
/// The distance from one bar to the next.
const BAR: f64 = 26.0;

/// Reads the table and draws the picture.
pub(crate) fn draw() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = fs::read_to_string(page).expect("the page");
    let figures = PARTS.map(|part| figures(&page, part.row));
    let bars: usize = figures.iter().map(Vec::len).sum();
    let height = 44.0 + 78.0 * real(PARTS.len()) + BAR * real(bars);
    let mut picture = Picture::new((WIDTH, height), "A function's first answer, and its memory");
    let mut y = 50.0;
    for (part, figures) in PARTS.iter().zip(&figures) {
        y = part.draw(&mut picture, y, figures);
    }
    picture.write(PICTURE);
}

impl Part {
    /// Draws the part below `top`, with a bar for each figure. Returns its lower end.
    fn draw(&self, picture: &mut Picture, top: f64, figures: &[(usize, f64)]) -> f64 {
        let x = |value: f64| LEFT + AXIS * value / self.axis[self.axis.len() - 1];
        let (first, bottom) = (top + 30.0, top + 30.0 + BAR * real(figures.len()));
        picture.text("strong", (16.0, top + 18.0), self.title);
        for value in self.axis {
            picture.path("grid", &format!("M{:.1} {first}V{bottom}", x(value)));
            picture.text("middle", (x(value), bottom + 17.0), &format!("{value} {}", self.unit));
        }
        for (row, (function, value)) in figures.iter().enumerate() {
            let (name, color) = FUNCTIONS[*function];
            let y = first + BAR * real(row);
            picture.text("end", (LEFT - 8.0, y + 17.0), name);
            let (upper, lower, right) = (y + 4.0, y + BAR - 4.0, x(*value));
            picture.path(&format!("bar {color}"), &format!("M{LEFT} {upper}H{right:.1}V{lower}H{LEFT}Z"));
            picture.text("strong halo", (right + 6.0, y + 17.0), &format!("{value} {}", self.unit));
        }
        bottom + 48.0
    }
}

/// Returns the figures in the row of the table that begins with `name`, each with the index of its function.
fn figures(page: &str, name: &str) -> Vec<(usize, f64)> {
    let row = page.lines().find_map(|line| line.strip_prefix(&format!("| {name} |")));
    let row = row.unwrap_or_else(|| panic!("{PAGE} has no row {name:?}"));
    let cells = row.split('|').map(str::trim).take(FUNCTIONS.len()).enumerate();
    cells.filter(|(_, cell)| !cell.is_empty()).map(|(function, cell)| (function, sum(cell))).collect()
}

/// Returns the sum in a cell such as "1.55 + 0.59".
fn sum(cell: &str) -> f64 {
    let number = |text: &str| -> f64 { text.trim().parse().expect("a number") };
    let sum: f64 = cell.split('+').map(number).sum();
    (sum * 100.0).round() / 100.0
}

#[expect(clippy::cast_precision_loss, reason = "a number of bars, far below 2^52")]
const fn real(count: usize) -> f64 {
    count as f64
}
