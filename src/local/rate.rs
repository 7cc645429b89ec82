//! Limits the rate of calls with a token bucket, as AWS does.

use std::time::Instant;

/// The rate at which an account may call an operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// The number of calls a second in the long run.
    pub per_second: f64,
    /// Maximum number of calls at once after a pause.
    pub burst: u32,
}

impl Rate {
    /// CloudFront's default rate of CreateInvalidation, as far as it is known:
    /// <https://github.com/aws/aws-sdk-js/issues/3983>.
    pub const CLOUDFRONT: Self = Self { per_second: 0.5, burst: 15 };
}

/// The tokens that are left. Each call takes one.
#[derive(Debug)]
pub(super) struct Tokens {
    rate: Rate,
    left: f64,
    /// The time at which `left` was computed.
    computed: Instant,
}

impl Tokens {
    /// Creates as many tokens as the rate allows at once.
    pub(super) fn full(rate: Rate) -> Self {
        Self { rate, left: f64::from(rate.burst), computed: Instant::now() }
    }

    /// Takes a token, and returns whether there was one. The time runs `speed` times as fast as the
    /// clock.
    pub(super) fn take(&mut self, speed: u32) -> bool {
        let now = Instant::now();
        let elapsed = now.duration_since(self.computed).as_secs_f64() * f64::from(speed);
        self.computed = now;
        self.left = elapsed.mul_add(self.rate.per_second, self.left).min(f64::from(self.rate.burst));
        let is_left = self.left >= 1.0;
        if is_left {
            self.left -= 1.0;
        }
        is_left
    }
}
