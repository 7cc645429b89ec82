//! Draws the times of first answers at 128 MB, for docs/performance.md.

use std::{fmt::Write, path::Path};

/// Writes an SVG with bars on a logarithmic scale, each with its figure.
pub(crate) fn draw(bars: &[(&str, f64)]) {
    const LEFT: f64 = 110.0;
    const WIDE: f64 = 430.0;
    let most = bars.iter().map(|(_, value)| *value).fold(1.0, f64::max);
    // The scale begins at a tenth of a millisecond, since a logarithm has no zero.
    let wide = |value: f64| WIDE * (value.max(0.1) * 10.0).log10() / (most * 10.0).log10();
    let high = 34 + 26 * bars.len();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"640\" height=\"{high}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"8\" y=\"18\">First answer at the CPU share of 128 MB, over TLS, in milliseconds (logarithmic scale)</text>\n"
    );
    for (row, (name, value)) in bars.iter().enumerate() {
        let y = 28 + 26 * row;
        let _ = write!(
            svg,
            "<text x=\"8\" y=\"{}\">{name}</text>\n<rect x=\"{LEFT}\" y=\"{y}\" width=\"{:.0}\" height=\"18\" \
             fill=\"#c7511f\"/>\n<text x=\"{:.0}\" y=\"{}\">{value:.1}</text>\n",
            y + 14,
            wide(*value),
            LEFT + wide(*value) + 6.0,
            y + 14,
        );
    }
    svg.push_str("</svg>\n");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.svg");
    std::fs::write(&file, svg).expect("a picture");
    println!("\nwrote {}", file.display());
}
