//! The baseline for `cargo bench --bench start`: an empty function with the same build profile.
//! With `PARSES=1`, it parses the event and does nothing else.

use std::{env, hint::black_box};

use cloudfront_invalidator::event;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::value::RawValue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let parses = env::var_os("PARSES").is_some();
    let answer = |invocation: LambdaEvent<Box<RawValue>>| async move {
        if parses {
            black_box(event::read(invocation.payload.get().as_bytes(), &invocation.context.request_id));
        }
        Ok::<_, Error>(())
    };
    run(service_fn(answer)).await
}
