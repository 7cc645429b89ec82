//! Gathers messages into batches as Lambda does: five pollers read the queue, and each closes its batch after
//! ten seconds or at 3,000 messages.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html>

/// The number of pollers with which Lambda begins to read a queue.
const POLLERS: usize = 5;

/// The time from the first message of a batch to its end, in milliseconds.
const WINDOW: u64 = 10_000;

/// Maximum number of messages in a batch.
const BATCH: usize = 3_000;

/// The number of environments that Lambda runs at a time.
pub(crate) const ENVIRONMENTS: usize = 2;

/// The messages that a poller passes on together.
pub(crate) struct Gathered {
    /// The time at which the poller passes them on, in milliseconds after the first message of all.
    pub(crate) closed: u64,
    /// The messages, by their position in the queue.
    pub(crate) messages: Vec<usize>,
}

/// Gathers so many messages that arrive at this rate. The seed decides which poller reads which message.
pub(crate) fn gather(messages: usize, a_second: u64, seed: u64) -> Vec<Gathered> {
    let mut open: [Option<Gathered>; POLLERS] = Default::default();
    let mut closed = Vec::new();
    let mut state = seed;
    for (message, now) in (0..messages).zip((0..).map(|message: u64| message * 1_000 / a_second)) {
        for poller in &mut open {
            closed.extend(poller.take_if(|batch| batch.closed <= now));
        }
        let poller = &mut open[usize::try_from(random(&mut state) % POLLERS as u64).expect("a small number")];
        let batch = poller.get_or_insert_with(|| Gathered { closed: now + WINDOW, messages: Vec::new() });
        batch.messages.push(message);
        if batch.messages.len() == BATCH {
            batch.closed = now;
            closed.extend(poller.take());
        }
    }
    closed.extend(open.into_iter().flatten());
    closed.sort_by_key(|batch| batch.closed);
    closed
}

/// Returns the next pseudo-random number: `SplitMix64`.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
