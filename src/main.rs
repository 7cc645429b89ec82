//! The Lambda function: reads the environment, creates the client and runs the Lambda runtime.

use std::{
    env,
    error::Error,
    mem,
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use cloudfront_invalidator::{
    Invalidator,
    cloudfront::Client,
    config::Config,
    now,
    report::{Failure, Invocation, Log},
};
use lambda_runtime::{
    Context, Diagnostic, LambdaEvent, LambdaInvocation, Runtime, service_fn, tower::util::MapRequestLayer,
};
use serde_json::value::RawValue;
use tokio::time::timeout;

/// The time between the function's answer and its Lambda timeout.
const MARGIN: Duration = Duration::from_secs(1);

/// The longest that the first event may wait for a connection to CloudFront. A handshake that takes
/// longer waits for the network rather than for the CPU, so nothing is gained by connecting early.
const CONNECT: Duration = Duration::from_millis(25);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let (config, settings) = match Config::of_function(env::vars_os()) {
        Ok(read) => read,
        Err(problems) => {
            println!("{}", Log::misconfigured(&problems, now()));
            return Ok(ExitCode::FAILURE);
        }
    };
    for variable in &config.retired {
        println!("{}", Log::retired(variable, now()));
    }
    let metrics = config.metrics;
    let client = settings.map(Client::new);
    if let Some(client) = &client {
        // Lambda gives the whole CPU to the init phase, so the handshake is faster here.
        let _ = timeout(CONNECT, client.connect()).await;
    }
    let invalidator = Invalidator::new(config, client);
    let function = Arc::new(Function { invalidator, metrics, log: Mutex::default() });

    // The runtime parses the event first and rejects invalid JSON before the function sees it. So
    // the runtime gets "null", and the function gets the bytes.
    let arrived = Arc::new(Mutex::default());
    let event = Arc::clone(&arrived);
    let take_event = MapRequestLayer::new(move |mut invocation: LambdaInvocation| {
        *lock(&arrived) = mem::replace(&mut invocation.body, "null".into());
        invocation
    });
    let handler = service_fn(move |invocation: LambdaEvent<()>| {
        let event = mem::take(&mut *lock(&event));
        let function = Arc::clone(&function);
        async move { function.answer(event, &invocation.context).await }
    });
    Runtime::new(handler).layer(take_event).run().await?;
    Ok(ExitCode::SUCCESS)
}

/// The state that lasts from one invocation to the next.
struct Function {
    invalidator: Invalidator,
    metrics: bool,
    log: Mutex<Log>,
}

impl Function {
    async fn answer(&self, event: impl AsRef<[u8]>, context: &Context) -> Result<Box<RawValue>, Diagnostic> {
        let killed = SystemTime::UNIX_EPOCH + Duration::from_millis(context.deadline);
        let left = killed.duration_since(SystemTime::now()).unwrap_or_default();
        let deadline = Instant::now() + left.saturating_sub(MARGIN);
        let report = self.invalidator.run(event, &context.request_id, deadline).await;
        let (request_id, function_name) = (&*context.request_id, &*context.env_config.function_name);
        let invocation = Invocation { request_id, function_name };
        let metrics = self.metrics.then(|| report.metrics(&invocation));
        let mut lines = lock(&self.log).lines(&report, request_id);
        lines.extend(metrics);
        // The empty line ends the last one, so that a single write holds all lines.
        lines.push(String::new());
        print!("{}", lines.join("\n"));
        report.answer().map_err(|Failure { error_type, message }| Diagnostic {
            error_type: error_type.to_owned(),
            error_message: message,
        })
    }
}

/// Locks the mutex, even if a panic poisoned it: no holder leaves its value half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
