//! Measures how long a cover takes: `cargo bench --bench cover`.
//!
//! `site` resembles a real deploy. The other shapes are ones that somebody who may upload any keys
//! could choose.

use cloudfront_invalidator::{
    cover::{Budget, cover},
    path::Item,
};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// The default budget.
const BUDGET: Budget = Budget { items: 150, wildcards: 15 };

fn items(keys: impl Iterator<Item = String>) -> Vec<Item> {
    keys.map(|key| Item::from_key(key.as_bytes())).collect()
}

/// Returns a number that looks random but is the same every time.
const fn mixed(number: usize) -> usize {
    let mut bits = number;
    bits = (bits ^ (bits >> 15)).wrapping_mul(0x2C1B_3C6D);
    bits = (bits ^ (bits >> 12)).wrapping_mul(0x297A_2D39);
    bits ^ (bits >> 15)
}

/// Returns pages, images and hashed assets in directories of uneven size.
fn site(size: usize) -> Vec<Item> {
    let directories = size / 12 + 1;
    items((0..size).map(move |n| {
        let (r, directory) = (mixed(n), mixed(n / 7) % directories);
        let above = ["blog", "docs", "api/java/org", "images", "news"][directory % 5];
        match r % 5 {
            0 => format!("{above}/{}/{}/index.html", directory % 40, directory),
            1 => format!("{above}/{}/cover-{}.webp", directory, r % 900),
            2 => format!("assets/app.{:08x}.js", r % (1 << 32)),
            3 => format!("{above}/{:04}/{:02}/page-{n}.html", 2010 + directory % 17, directory % 12),
            _ => format!("{above}/{directory}/section/{}.html", r % 5_000),
        }
    }))
}

fn measure(bencher: Bencher<'_, '_>, items: &[Item], budget: Budget) {
    bencher.with_inputs(|| items.to_vec()).bench_values(|items| cover(black_box(items), budget));
}

#[divan::bench(args = [10, 100, 1_000, 10_000, 20_000, 100_000, 1_000_000], sample_count = 5)]
fn site_by_size(bencher: Bencher<'_, '_>, size: usize) {
    measure(bencher, &site(size), BUDGET);
}

#[divan::bench(args = [(15, 10), (50, 15), (150, 5), (150, 15), (1_000, 100), (3_000, 500)], sample_count = 5)]
fn site_of_ten_thousand_by_budget(bencher: Bencher<'_, '_>, (items, wildcards): (usize, usize)) {
    measure(bencher, &site(10_000), Budget { items, wildcards });
}

/// A shape of keys: its name, and a function that returns the given number of them.
type Shape = (&'static str, fn(usize) -> Vec<Item>);

const SHAPES: [Shape; 6] = [
    ("siblings", |size| items((0..size).map(|n| format!("dir/{n:07}.html")))),
    ("random names", |size| items((0..size).map(|n| format!("{:016x}", mixed(n))))),
    ("full binary tree", |size| items((0..size).map(|n| binary(n).collect()))),
    ("binary directories", |size| items((0..size).map(|n| binary(n).collect::<String>().replace('a', "a/")))),
    ("chains of directories", |size| {
        items((0..size).map(|n| format!("{:04}/{}", n / 400, "d/".repeat(n % 400))))
    }),
    ("long common beginning", |size| items((0..size).map(|n| format!("{}{:x}", "x".repeat(900), mixed(n))))),
];

fn binary(number: usize) -> impl Iterator<Item = char> {
    (0..16).map(move |bit| if number >> bit & 1 == 0 { 'a' } else { 'b' })
}

#[divan::bench(args = SHAPES.map(|(name, _)| name), sample_count = 5)]
fn twenty_thousand_shaped_as(bencher: Bencher<'_, '_>, shape: &str) {
    let (_, keys) = SHAPES.iter().find(|(name, _)| *name == shape).expect("the argument is one of SHAPES");
    measure(bencher, &keys(20_000), BUDGET);
}
