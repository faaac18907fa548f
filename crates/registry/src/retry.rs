//! The one retry policy of every verb: what is tried again, when, and how often.

use crate::Error;
use std::time::Duration;

/// How often a request is tried, and how long to wait in between.
#[derive(Clone, Debug)]
pub struct Retries {
    /// Attempts in all; a transfer that made progress starts counting anew.
    pub attempts: u32,
    /// Wait before the second attempt; doubled before each later one.
    pub base: Duration,
    /// No wait is longer, unless the registry asks for it.
    pub ceiling: Duration,
    /// A registry that asks for a longer wait than this is not waited for.
    pub patience: Duration,
}

impl Retries {
    /// Six attempts in about ten seconds.
    pub const STANDARD: Retries = Retries {
        attempts: 6,
        base: Duration::from_millis(300),
        ceiling: Duration::from_secs(20),
        patience: Duration::from_secs(120),
    };

    /// How long to wait after the failed attempt `attempt` (from 1); `None` when there shall be no other.
    pub fn pause(&self, attempt: u32, salt: &str) -> Option<Duration> {
        (attempt < self.attempts).then(|| self.wait(attempt, salt))
    }

    fn wait(&self, attempt: u32, salt: &str) -> Duration {
        let doubled = self.base.saturating_mul(1 << (attempt.max(1) - 1).min(16)).min(self.ceiling);
        jittered(doubled, attempt, salt)
    }
}

/// One failed attempt that will be followed by another; for `-v`.
#[derive(Clone, Debug)]
pub struct Retry {
    /// Which attempt failed, from 1.
    pub attempt: u32,
    /// The wait before the next.
    pub wait: Duration,
    /// Why it failed.
    pub cause: String,
}

/// Runs `operation` until it succeeds, fails for good, or the attempts are used up.
///
/// `operation` is told which attempt it is and answers with its error and whether the attempt made
/// progress.
pub(crate) async fn run<T>(
    policy: &Retries,
    salt: &str,
    notify: impl Fn(&Retry),
    mut operation: impl AsyncFnMut() -> Result<T, Failed>,
) -> Result<T, Error> {
    let mut attempt = 1;
    loop {
        let failed = match operation().await {
            Ok(done) => return Ok(done),
            Err(failed) => failed,
        };
        if failed.progress {
            attempt = 1;
        }
        let Some(wait) = wait(policy, attempt, salt, &failed.error) else {
            return Err(failed.error);
        };
        notify(&Retry { attempt, wait, cause: failed.error.to_string() });
        tokio::time::sleep(wait).await;
        attempt += 1;
    }
}

/// A failed attempt.
pub(crate) struct Failed {
    pub(crate) error: Error,
    pub(crate) progress: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed { error, progress: false }
    }
}

/// How long to wait before the next attempt; `None` when there shall be none.
fn wait(policy: &Retries, attempt: u32, salt: &str, error: &Error) -> Option<Duration> {
    let (attempts, asked) = match error {
        // A registry that is down is reported soon; one that hiccups is waited for.
        Error::Unreachable { connecting: true, .. } => (policy.attempts.min(3), None),
        Error::Unreachable { .. } | Error::Stalled { .. } | Error::UploadLost { .. } => {
            (policy.attempts, None)
        }
        // docker-registry's own trouble with two pushes of one image at once: the digest of a
        // manifest is made from the bytes that are sent.
        Error::UnexpectedStatus { status: 400, code: Some(code), request, .. }
            if code == "DIGEST_INVALID" && request.contains("/manifests/") =>
        {
            (policy.attempts, None)
        }
        Error::UnexpectedStatus {
            status: 408 | 425 | 429 | 500 | 502 | 503 | 504,
            retry_after,
            ..
        } => (policy.attempts, *retry_after),
        // Damage on the way, and answers without what they must have, are asked for once more.
        Error::WrongDigest { .. } | Error::BadLocation { .. } => (policy.attempts.min(2), None),
        // So are answers that may be those to other questions: a proxy that answers twice puts all that
        // come later on the connection out of step.
        Error::RepositoryMissing { .. } | Error::UnexpectedStatus { status: 200..=299, .. } => {
            (policy.attempts.min(2), None)
        }
        // A body that ended early.
        Error::WrongSize { asked, got, .. } if got < asked => (policy.attempts, None),
        _ => return None,
    };
    if attempt >= attempts || asked.is_some_and(|it| it > policy.patience) {
        return None;
    }
    Some(asked.unwrap_or_default().max(policy.wait(attempt, salt)))
}

/// Three to five quarters of `wait`, by what is asked for and how often: parallel transfers spread
/// out, and the same run waits the same time.
fn jittered(wait: Duration, attempt: u32, salt: &str) -> Duration {
    let hash = salt.bytes().fold(0x811c_9dc5_u32 ^ attempt, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    wait.mul_f64(0.75 + f64::from(hash % 1000) / 2000.0)
}

#[cfg(test)]
mod tests {
    use super::{Retries, wait};
    use crate::Error;
    use std::time::Duration;

    fn status(status: u16, retry_after: Option<u64>) -> Error {
        Error::UnexpectedStatus {
            registry: String::new(),
            request: String::new(),
            status,
            code: None,
            message: None,
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    #[test]
    fn waits_grow_and_end() {
        let policy = Retries::STANDARD;
        let waits: Vec<_> = (1..=6).map(|it| wait(&policy, it, "a", &status(503, None))).collect();
        assert!(waits[..5].windows(2).all(|it| it[0] < it[1]), "{waits:?}");
        assert_eq!(waits[5], None);
        assert_eq!(wait(&policy, 1, "a", &status(404, None)), None);
        assert_eq!(wait(&policy, 1, "a", &status(501, None)), None);
    }

    #[test]
    fn the_registrys_wish_is_honoured_up_to_a_point() {
        let policy = Retries::STANDARD;
        assert_eq!(wait(&policy, 1, "a", &status(429, Some(7))), Some(Duration::from_secs(7)));
        assert_eq!(wait(&policy, 1, "a", &status(429, Some(3600))), None);
    }

    #[test]
    fn a_registry_that_is_down_is_reported_soon() {
        let down = |connecting| Error::Unreachable {
            registry: String::new(),
            cause: String::new(),
            connecting,
        };
        assert_eq!(wait(&Retries::STANDARD, 3, "a", &down(true)), None);
        assert!(wait(&Retries::STANDARD, 3, "a", &down(false)).is_some());
    }
}
