//! Integration tests. They send events to the function and check the requests that CloudFront
//! receives, and call the library and `cfadmin` as their users do.

mod bucket;
mod bucket_peers;
mod cases;
mod ceilings;
mod cfadmin;
mod chaos;
mod cli_tenants;
mod config;
mod cover;
mod discover;
mod event;
mod failures;
mod fanout;
mod fixtures;
mod function;
mod hostile;
mod isolation;
mod limits;
mod listing;
mod local;
mod local_edge;
mod local_s3;
mod narrow;
mod path;
mod peers;
mod plan;
mod s3_peers;
mod sites;
mod support;
mod template;
mod tenant_sites;
mod tenants;
mod tidy;
mod tls;
mod viewers;
