//! Draws the picture: collateral against the number of paths.

use crate::{
    Total,
    chart::{Chart, Line, Vertical},
    rules::Rule,
};

/// The numbers of paths in the picture, each with 15 wildcards or as many as there are paths.
const PATHS: [usize; 7] = [8, 15, 25, 50, 100, 150, 300];

/// The rules in the picture, with their names and the classes of their lines. The best possible cover is not
/// distinguishable from that of the listed bucket.
const RULES: [(Rule, &str, &str, &str); 6] = [
    (Rule::Everything, "/* for every deploy", "gray", ""),
    (Rule::S3deployAtEight, "s3deploy's rule, at most 8 paths", "orange", ""),
    (Rule::S3deploy, "s3deploy's rule", "pink", ""),
    (Rule::Directories, "best whole directories,\nknowing the bucket", "purple", ""),
    (Rule::Cover, "this function", "blue", "thick"),
    (Rule::Asking, "this function,\nlisting the bucket", "green", "thick"),
];

/// Draws what `total` returns for each rule and number of paths and of wildcards.
pub(crate) fn draw(file: &str, total: impl Fn(Rule, usize, usize) -> Total) {
    let mut deploys = Vec::new();
    let lines = RULES.map(|(rule, name, color, width)| {
        let totals = PATHS.map(|paths| total(rule, paths, paths.min(15)));
        deploys = totals.iter().map(|total| total.deploys.to_string()).collect();
        let points = PATHS.into_iter().zip(&totals).map(|(paths, total)| (paths, total.percent()));
        Line { name, color, width, points: points.collect() }
    });
    let chart = Chart {
        title: "Objects that a deploy purges although they did not change",
        at: &PATHS,
        rows: &[("paths", PATHS.map(|paths| paths.to_string()).to_vec()), ("deploys", deploys)],
        default: 150,
        vertical: Vertical {
            title: "share of the unchanged objects, mean of the deploys, on a logarithmic scale",
            percent: &[0.1, 1.0, 10.0, 100.0],
        },
        lines: &lines,
        notes: &[
            "paths: the limit for an invalidation, of which 15 may be wildcards. With 8, every rule purges most of hexo.io;",
            "with 25, this function purges less than 3 % of it.",
            "deploys: those of three real sites that change more objects than the limit. The others need no wildcard. All of",
            "hexo.io but one drop out between 150 and 300, and s3deploy's rule purges most for them.",
        ],
    };
    chart.draw(file);
}
