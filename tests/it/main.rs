//! Everything through public behaviour: events in, wire out.

mod cases;
mod cfadmin;
mod config;
mod cover;
mod event;
mod failures;
mod fixtures;
mod function;
mod path;
mod peers;
mod plan;
mod sites;
mod support;
mod tidy;
