//! Draws the picture: collateral against allowance.

use plotters::prelude::{
    BLACK, ChartBuilder, Circle, Color, IntoDrawingArea, LineSeries, RGBColor, SVGBackend,
    SeriesLabelPosition, WHITE,
};

/// A line of the picture: the site, and the collateral in percent with each allowance, the same for all lines.
pub(crate) type Line = (&'static str, Vec<(usize, f64)>);

const COLORS: [RGBColor; 3] =
    [RGBColor(0x00, 0x72, 0xB2), RGBColor(0xD5, 0x5E, 0x00), RGBColor(0x00, 0x9E, 0x73)];

/// Draws the lines. `path` is relative to the project's root.
pub(crate) fn draw(path: &str, lines: &[Line]) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let area = SVGBackend::new(&file, (860, 480)).into_drawing_area();
    let allowances: Vec<usize> =
        lines.iter().take(1).flat_map(|(_, points)| points).map(|(allowance, _)| *allowance).collect();
    let last = allowances.len().saturating_sub(1);

    let drawn = (|| -> Result<(), Box<dyn std::error::Error>> {
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .margin_right(24)
            .caption("Unchanged objects that a deploy purges, mean", ("sans-serif", 18))
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(0..last, 0.0..100.0)?;
        chart
            .configure_mesh()
            .x_labels(allowances.len())
            .x_label_formatter(&|index| allowances.get(*index).map(usize::to_string).unwrap_or_default())
            .y_label_formatter(&|percent| format!("{percent:.0}"))
            .x_desc("allowance, paths a month")
            .y_desc("share of the unchanged objects, %")
            .light_line_style(BLACK.mix(0.05))
            .bold_line_style(BLACK.mix(0.12))
            .draw()?;
        for ((site, points), color) in lines.iter().zip(COLORS) {
            let points = || points.iter().map(|(_, percent)| *percent).enumerate();
            chart.draw_series(LineSeries::new(points(), color.stroke_width(3)))?.label(*site).legend(
                move |(x, y)| {
                    plotters::element::PathElement::new([(x, y), (x + 22, y)], color.stroke_width(3))
                },
            );
            chart.draw_series(points().map(|point| Circle::new(point, 4, color.filled())))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        area.present()?;
        Ok(())
    })();
    drawn.expect("the picture is drawn");
}
