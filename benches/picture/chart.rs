//! Draws charts with lines, on two logarithmic axes.

use std::fmt::Write;

use crate::svg::Picture;

const WIDTH: f64 = 860.0;
/// The space that the labels of the vertical axis need.
const LEFT: f64 = 92.0;
/// The space that the names of the lines need.
const RIGHT: f64 = 248.0;
const TOP: f64 = 76.0;
/// The height of the area with the lines.
const HEIGHT: f64 = 320.0;
/// The height of a line of text.
const TEXT: f64 = 19.0;
/// The space between two names.
const GAP: f64 = 3.0;

/// A chart of percentages.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    /// The positions of the labels on the horizontal axis.
    pub(crate) at: &'a [usize],
    /// The rows of labels below the horizontal axis, each with its heading.
    pub(crate) rows: &'a [(&'a str, Vec<String>)],
    /// The position of the default value.
    pub(crate) default: usize,
    pub(crate) vertical: Vertical<'a>,
    pub(crate) lines: &'a [Line],
    /// The lines of text below the chart.
    pub(crate) notes: &'a [&'a str],
}

/// The vertical axis.
pub(crate) struct Vertical<'a> {
    pub(crate) title: &'a str,
    /// The values with labels, in percent: ascending.
    pub(crate) percent: &'a [f64],
}

/// A line of a chart.
pub(crate) struct Line {
    /// The name, in one or more lines of text.
    pub(crate) name: &'static str,
    /// The class of the color.
    pub(crate) color: &'static str,
    /// The class of the width. Empty for the usual one.
    pub(crate) width: &'static str,
    pub(crate) points: Vec<(usize, f64)>,
}

impl Chart<'_> {
    /// Draws the chart into `file`, relative to the project's root.
    pub(crate) fn draw(&self, file: &str) {
        let (right, bottom) = (WIDTH - RIGHT, TOP + HEIGHT);
        let rows = bottom + 6.0 + TEXT * real(self.rows.len());
        let height = rows + 10.0 + TEXT * real(self.notes.len()) + 12.0;
        let mut picture = Picture::new((WIDTH, height), self.title);
        picture.text("", (16.0, 54.0), self.vertical.title);

        for percent in self.vertical.percent {
            let y = self.y(*percent);
            picture.path("grid", &format!("M{LEFT} {y:.1}H{right}"));
            picture.text("end", (LEFT - 10.0, y + 4.5), &format!("{percent} %"));
        }
        picture.path("axis", &format!("M{LEFT} {bottom}H{right}"));
        for at in self.at {
            picture.path("axis", &format!("M{:.1} {bottom}v5", self.x(*at)));
        }
        for (row, (heading, labels)) in self.rows.iter().enumerate() {
            let y = bottom + 4.0 + TEXT * real(row + 1);
            picture.text("end", (LEFT - 26.0, y), heading);
            for (at, label) in self.at.iter().zip(labels) {
                picture.text("middle", (self.x(*at), y), label);
            }
        }
        let default = self.x(self.default);
        picture.path("mark", &format!("M{default:.1} {bottom}V{TOP}"));
        picture.text("end", (default - 6.0, bottom - 8.0), "default");
        for (row, note) in self.notes.iter().enumerate() {
            picture.text("", (16.0, rows + 8.0 + TEXT * real(row + 1)), note);
        }

        for line in self.lines {
            let mut path = String::new();
            for (index, (at, percent)) in line.points.iter().enumerate() {
                let command = if index == 0 { 'M' } else { 'L' };
                let _ = write!(path, "{command}{:.1} {:.1}", self.x(*at), self.y(*percent));
            }
            picture.path(&format!("line {} {}", line.width, line.color), &path);
            let dots: Vec<_> = line.points.iter().map(|(at, y)| (self.x(*at), self.y(*y))).collect();
            let dots = dots.iter().map(|(x, y)| format!("M{x:.1} {y:.1}h0"));
            picture.path(&format!("dot {}", line.color), &dots.collect::<String>());
        }
        self.name_lines(&mut picture);
        picture.write(file);
    }

    /// Writes the name of each line beside its end. Moves names down that would overlap, and then up those that would
    /// be below the axis.
    fn name_lines(&self, picture: &mut Picture) {
        let end = |line: &Line| line.points.last().map_or(TOP, |(_, percent)| self.y(*percent));
        let mut lines: Vec<&Line> = self.lines.iter().collect();
        lines.sort_by(|one, other| end(one).total_cmp(&end(other)));
        let below_first = |line: &Line| TEXT * real(line.name.lines().count() - 1);
        let mut firsts = Vec::new();
        let mut free = TOP;
        for line in &lines {
            let first = free.max(end(line) - below_first(line) / 2.0);
            firsts.push(first);
            free = first + below_first(line) + TEXT + GAP;
        }
        let mut lowest = TOP + HEIGHT;
        for (first, line) in firsts.iter_mut().zip(&lines).rev() {
            *first = first.min(lowest - below_first(line));
            lowest = *first - TEXT - GAP;
        }
        let right = WIDTH - RIGHT;
        for (line, first) in lines.into_iter().zip(firsts) {
            let (end, middle) = (end(line), first + below_first(line) / 2.0);
            let path = format!("M{right} {end:.1}L{:.1} {middle:.1}", right + 18.0);
            picture.path(&format!("line {}", line.color), &path);
            for (row, text) in line.name.lines().enumerate() {
                let y = first + TEXT * real(row) + 4.5;
                picture.text(&format!("words {}", line.color), (right + 24.0, y), text);
            }
        }
    }

    fn x(&self, at: usize) -> f64 {
        let scale = |at: usize| real(at).ln();
        let (first, last) = (scale(self.at[0]), scale(self.at[self.at.len() - 1]));
        LEFT + (WIDTH - LEFT - RIGHT) * (scale(at) - first) / (last - first)
    }

    fn y(&self, percent: f64) -> f64 {
        let labels = self.vertical.percent;
        let (least, most) = (labels[0], labels[labels.len() - 1]);
        TOP + HEIGHT * (most / percent.max(least)).ln() / (most / least).ln()
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of rows and paths, far below 2^52")]
const fn real(count: usize) -> f64 {
    count as f64
}
