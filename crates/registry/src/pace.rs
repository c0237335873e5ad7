//! Time limits for clients that send or receive a body.

use std::time::Duration;

use longshore_core::{Error, ErrorKind};

use crate::limits::RegistryLimits;

/// The minimum transfer rate of a client: `rate` bytes for each `window` that the registry spends
/// waiting for it.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    window: Duration,
    rate: u64,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    pub(crate) fn new(limits: &RegistryLimits) -> Self {
        let (window, rate) = (limits.body_window, limits.body_rate);
        Self { window, rate, waited: Duration::ZERO, bytes: 0 }
    }

    /// Returns the time that the client has left for its next bytes.
    pub(crate) fn left(&self) -> Duration {
        self.window.saturating_sub(self.waited)
    }

    /// Records a wait, and the bytes transferred after it.
    pub(crate) fn passed(&mut self, waited: Duration, bytes: usize) {
        self.waited += waited;
        self.bytes += bytes as u64;
        if self.bytes >= self.rate {
            self.waited = Duration::ZERO;
            self.bytes = 0;
        }
    }

    pub(crate) fn too_slow(&self) -> Error {
        Error::new(ErrorKind::Timeout).detail(format!(
            "fewer than {} bytes in {} s",
            self.rate,
            self.window.as_secs()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_spent_waiting_for_the_client_counts() {
        let mut limits = RegistryLimits::default();
        (limits.body_window, limits.body_rate) = (Duration::from_secs(60), 100);
        let mut pace = Pace::new(&limits);
        pace.passed(Duration::from_secs(40), 99);
        assert_eq!(pace.left(), Duration::from_secs(20));
        pace.passed(Duration::from_secs(10), 1);
        assert_eq!((pace.left(), pace.bytes), (Duration::from_secs(60), 0));
        pace.passed(Duration::from_secs(61), 99);
        assert_eq!(pace.left(), Duration::ZERO);
    }
}
