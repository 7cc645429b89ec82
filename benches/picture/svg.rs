//! Writes the pictures of the docs as SVG.
//!
//! The colors follow the reader's color scheme. Each picture has a background of its own, because the page around it
//! may follow another scheme.

use std::{fmt::Write, fs, path::Path};

/// The classes of texts and paths.
const STYLE: &str = "\
  text { font: 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #59636e }
  .title { font-size: 17px; font-weight: 600; fill: #1f2328 }
  .strong { font-weight: 600; fill: #1f2328 }
  .halo { paint-order: stroke; stroke: #ffffff; stroke-width: 5px }
  .middle { text-anchor: middle }
  .end { text-anchor: end }
  path { fill: none; stroke-linejoin: round }
  .panel { fill: #ffffff; stroke: #d0d7de }
  .grid { stroke: #d0d7de }
  .axis { stroke: #59636e }
  .mark { stroke: #59636e; stroke-dasharray: 5 4 }
  .line { stroke: currentColor; stroke-width: 2 }
  .thick { stroke-width: 4 }
  .dot { stroke: currentColor; stroke-width: 8; stroke-linecap: round }
  .bar { fill: currentColor }
  .words { fill: currentColor }
  .gray { color: #59636e }
  .orange { color: #bc4c00 }
  .pink { color: #bf3989 }
  .purple { color: #8250df }
  .blue { color: #0969da }
  .green { color: #1a7f37 }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1 }
    .title, .strong { fill: #f0f6fc }
    .halo { stroke: #0d1117 }
    .panel { fill: #0d1117; stroke: #3d444d }
    .grid { stroke: #2a313c }
    .axis, .mark { stroke: #9198a1 }
    .words { fill: currentColor }
    .gray { color: #9198a1 }
    .orange { color: #f0883e }
    .pink { color: #f778ba }
    .purple { color: #bc8cff }
    .blue { color: #58a6ff }
    .green { color: #3fb950 }
  }
";

/// A picture of which parts are drawn already.
pub(crate) struct Picture {
    svg: String,
}

impl Picture {
    /// Creates a picture of this width and height that contains only its title.
    pub(crate) fn new((width, height): (f64, f64), title: &str) -> Self {
        let escaped = escaped(title);
        let mut picture = Self {
            svg: format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
                 viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"title\">\n\
                 <title id=\"title\">{escaped}</title>\n<style>\n{STYLE}</style>\n"
            ),
        };
        let (right, bottom) = (width - 0.5, height - 0.5);
        picture.path("panel", &format!("M0.5 0.5H{right}V{bottom}H0.5Z"));
        picture.text("title", (16.0, 30.0), title);
        picture
    }

    /// Adds a text at its baseline. `class` names one or more classes of the style.
    pub(crate) fn text(&mut self, class: &str, (x, y): (f64, f64), text: &str) {
        let text = escaped(text);
        let _ = writeln!(self.svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
    }

    /// Adds a path.
    ///
    /// <https://developer.mozilla.org/en-US/docs/Web/SVG/Reference/Attribute/d>
    pub(crate) fn path(&mut self, class: &str, path: &str) {
        let _ = writeln!(self.svg, "<path class=\"{class}\" d=\"{path}\"/>");
    }

    /// Writes the picture to `file`, relative to the project's root.
    pub(crate) fn write(mut self, file: &str) {
        self.svg.push_str("</svg>\n");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        fs::write(path, self.svg).expect("a picture");
        println!("\nwrote {file}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
