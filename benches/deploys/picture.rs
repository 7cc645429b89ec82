//! Draws the picture: collateral against budget.

use plotters::prelude::{
    BLACK, ChartBuilder, Color, IntoDrawingArea, IntoLogRange, LineSeries, RGBColor, SVGBackend,
    SeriesLabelPosition, WHITE,
};

/// A line of the picture: its name, and the collateral at each number of items.
pub(crate) type Line = (&'static str, Vec<(usize, f64)>);

const COLOURS: [RGBColor; 7] = [
    RGBColor(0x99, 0x99, 0x99),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0x00, 0x9E, 0x73),
];

/// Draws the lines on two logarithmic axes. `path` is relative to the project's root.
pub(crate) fn draw(path: &str, lines: &[Line]) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let area = SVGBackend::new(&file, (860, 520)).into_drawing_area();
    let points = || lines.iter().flat_map(|(_, points)| points);
    let most = points().map(|(_, collateral)| *collateral).fold(1.0, f64::max);
    let (first, last) = (points().map(|(items, _)| *items).min(), points().map(|(items, _)| *items).max());
    let items = first.unwrap_or(1)..last.unwrap_or(2);

    let drawn = (|| -> Result<(), Box<dyn std::error::Error>> {
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .caption("Objects purged that did not change, mean of a deploy", ("sans-serif", 18))
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(items.log_scale(), (1.0..most * 1.5).log_scale())?;
        chart
            .configure_mesh()
            .x_desc("items in an invalidation (at most 15 wildcards)")
            .y_desc("collateral, objects")
            .light_line_style(BLACK.mix(0.05))
            .bold_line_style(BLACK.mix(0.12))
            .draw()?;
        for ((name, points), colour) in lines.iter().zip(COLOURS) {
            let visible = points.iter().map(|(items, collateral)| (*items, collateral.max(1.0)));
            chart
                .draw_series(LineSeries::new(visible, colour.stroke_width(3)))?
                .label(name.replace('`', ""))
                .legend(move |(x, y)| {
                    plotters::element::PathElement::new([(x, y), (x + 22, y)], colour.stroke_width(3))
                });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        area.present()?;
        Ok(())
    })();
    drawn.expect("the picture is drawn");
}
