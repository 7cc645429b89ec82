//! Draws the picture: collateral against allowance.

use cloudfront_invalidator::report::thousands;

use crate::chart::{Chart, Line, Vertical};

/// The collateral of a site in percent with each allowance, the same for all sites.
pub(crate) type Points = Vec<(usize, f64)>;

/// The names of the sites, in the order of the histories, and the colors of their lines.
const SITES: [(&str, &str); 3] = [
    ("flink.apache.org: most deploys\nchange a few pages", "orange"),
    ("hexo.io: a deploy changes\n186 objects on average", "blue"),
    ("kafka.apache.org: most deploys\nchange a few pages", "green"),
];

/// Draws the lines of the sites.
pub(crate) fn draw(file: &str, sites: [Points; SITES.len()]) {
    let allowances: Vec<usize> = sites[0].iter().map(|(allowance, _)| *allowance).collect();
    let labels = allowances.iter().map(|allowance| thousands(*allowance)).collect();
    let mut lines = Vec::new();
    for ((name, color), points) in SITES.into_iter().zip(sites) {
        lines.push(Line { name, color, width: "", points });
    }
    let chart = Chart {
        title: "Objects that a deploy purges although they did not change",
        at: &allowances,
        rows: &[("paths", labels)],
        default: 1_000,
        vertical: Vertical {
            title: "share of the unchanged objects, mean of the deploys, on a logarithmic scale",
            percent: &[0.1, 1.0, 10.0, 100.0],
        },
        lines: &lines,
        notes: &[
            "paths: the allowance for a month",
            "At the beginning of a month, a batch gets 6 paths of an allowance of 500, and 12 of 1,000. For as many changes",
            "as hexo.io makes, 6 wildcards cover most of the site, and 12 do not.",
        ],
    };
    chart.draw(file);
}
