//! Records the waits that are reported during a test.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use longshore_core::wait::TARGET;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber};

/// A log of the waits that are reported on this thread. Dropping the log ends the recording.
#[must_use]
pub struct WaitLog {
    messages: Arc<Mutex<Vec<String>>>,
    _listening: DefaultGuard,
}

impl WaitLog {
    /// Starts recording.
    pub fn listen() -> Self {
        let messages = Arc::default();
        let listener = Listener(Arc::clone(&messages));
        Self { messages, _listening: tracing::subscriber::set_default(listener) }
    }

    /// Returns the reports since the last call, in order.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for WaitLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WaitLog({:?})", self.messages)
    }
}

struct Listener(Arc<Mutex<Vec<String>>>);

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == TARGET
    }

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(message.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
