//! One row of the matrix: a fault, where it happens, and the outcome of each operation.

use std::time::Duration;

use longshore::ErrorKind;
use longshore_testkit::fault::{Fault, FaultProxy};

use super::operation::{ALL, Operation};
use super::setting::{Route, Setting, Wire};

/// A variant of a fault, with the operations that it affects.
pub(super) struct Case {
    /// The number of the fault in the catalogue.
    pub(super) fault: usize,
    pub(super) name: &'static str,
    pub(super) route: Route,
    /// The scheme, if the fault needs one.
    pub(super) wire: Option<Wire>,
    /// True if a server stalls, so that the client needs short limits.
    pub(super) stalls: bool,
    /// True if the client has no token at the start.
    pub(super) is_fresh: bool,
    /// True if a server redirects requests.
    pub(super) redirects: bool,
    /// The shortest time that the operation may take.
    pub(super) at_least: Duration,
    inject: Option<Inject>,
    outcomes: Vec<(&'static [Operation], Outcome)>,
    /// The reason why the other operations are left out.
    pub(super) reason: &'static str,
}

/// The expected outcome of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The operation succeeds.
    Ok,
    /// The operation succeeds, and reports that the registry does not have the thing.
    Absent,
    /// The operation fails with one of these kinds, and its error contains this text.
    Fails(&'static [ErrorKind], &'static str),
}

/// A fault of one kind of request.
pub(super) struct Injection {
    pub(super) at: At,
    pub(super) times: usize,
    pub(super) fault: Fault,
}

/// A kind of request.
#[derive(Clone, Copy, Debug)]
pub(super) enum At {
    /// The request that defines the operation. For a copy and a pull, it gets the layer.
    Main,
    /// Every request to the registry, except those for tokens.
    Any,
    /// The request for a token.
    Token,
    /// The request of this method whose path contains this text, at the registry that is written.
    Written(&'static str, &'static str),
    /// The same at the storage service.
    Far(&'static str, &'static str),
}

type Inject = Box<dyn Fn(&Setting<'_>) -> Vec<Injection> + Send + Sync>;

impl Case {
    /// Creates a case without faults at the proxy.
    pub(super) fn new(fault: usize, name: &'static str) -> Self {
        Self {
            fault,
            name,
            route: Route::Proxy,
            wire: None,
            stalls: false,
            is_fresh: false,
            redirects: false,
            at_least: Duration::ZERO,
            inject: None,
            outcomes: Vec::new(),
            reason: "",
        }
    }

    /// Makes a fault a number of times.
    pub(super) fn times(self, at: At, times: usize, fault: Fault) -> Self {
        self.with(move |_| vec![Injection { at, times, fault: fault.clone() }])
    }

    /// Makes a fault once, in the main request.
    pub(super) fn once(self, fault: Fault) -> Self {
        self.times(At::Main, 1, fault)
    }

    /// Makes a fault in each main request.
    pub(super) fn always(self, fault: Fault) -> Self {
        self.times(At::Main, usize::MAX, fault)
    }

    /// Makes faults that depend on the cell.
    pub(super) fn with(
        mut self,
        inject: impl Fn(&Setting<'_>) -> Vec<Injection> + Send + Sync + 'static,
    ) -> Self {
        let before = self.inject.take();
        self.inject = Some(Box::new(move |setting| {
            let mut all = before.as_ref().map(|before| before(setting)).unwrap_or_default();
            all.extend(inject(setting));
            all
        }));
        self
    }

    pub(super) fn route(mut self, route: Route) -> Self {
        self.route = route;
        self
    }

    pub(super) fn only(mut self, wire: Wire) -> Self {
        self.wire = Some(wire);
        self
    }

    pub(super) fn stalls(mut self) -> Self {
        self.stalls = true;
        self
    }

    pub(super) fn fresh(mut self) -> Self {
        self.is_fresh = true;
        self
    }

    pub(super) fn redirects(mut self) -> Self {
        self.redirects = true;
        self
    }

    pub(super) fn at_least(mut self, time: Duration) -> Self {
        self.at_least = time;
        self
    }

    /// Sets the outcome of these operations, unless it is already set.
    pub(super) fn on(mut self, operations: &'static [Operation], outcome: Outcome) -> Self {
        self.outcomes.push((operations, outcome));
        self
    }

    /// Sets the outcome of all other operations.
    pub(super) fn all(self, outcome: Outcome) -> Self {
        self.on(ALL, outcome)
    }

    /// Leaves out all other operations.
    pub(super) fn none(mut self, reason: &'static str) -> Self {
        self.reason = reason;
        self
    }

    /// Returns the expected outcome of an operation, or `None` if the operation is left out.
    pub(super) fn outcome(&self, operation: Operation) -> Option<Outcome> {
        let found = self.outcomes.iter().find(|(operations, _)| operations.contains(&operation));
        found.map(|(_, outcome)| *outcome)
    }

    /// Returns true if the case makes faults at the proxy.
    pub(super) fn has_faults(&self) -> bool {
        self.inject.is_some()
    }

    /// Injects the faults into the servers of a cell.
    pub(super) fn inject(&self, operation: Operation, setting: &Setting<'_>) {
        let Some(inject) = &self.inject else { return };
        for Injection { at, times, fault } in inject(setting) {
            let (proxy, method, path) = at.place(operation, setting);
            proxy.inject(method, &path, times, fault);
        }
    }
}

impl At {
    /// Returns the proxy, the method and a part of the path of these requests.
    pub(super) fn place<'a>(
        self,
        operation: Operation,
        setting: &'a Setting<'_>,
    ) -> (&'a FaultProxy, &'static str, String) {
        let near = &setting.near.proxy;
        match self {
            Self::Main => {
                let (method, path) = main(operation);
                let path = path.map_or_else(|| setting.layer_path(), str::to_owned);
                (near, method, path)
            }
            Self::Any => (near, "", "/v2/".to_owned()),
            Self::Token => (near, "", "/token".to_owned()),
            Self::Written(method, path) if operation == Operation::Copy => {
                (setting.target_proxy(), method, path.to_owned())
            }
            Self::Written(method, path) => (near, method, path.to_owned()),
            Self::Far(method, path) => (&setting.far.proxy, method, path.to_owned()),
        }
    }
}

/// Returns the method and a part of the path of the request that defines an operation. No path
/// means the path of the layer. An operation that repeats a `HEAD` as a `GET` has no method, so
/// that the fault affects both.
fn main(operation: Operation) -> (&'static str, Option<&'static str>) {
    match operation {
        Operation::Ping => ("GET", Some("/v2/")),
        Operation::ManifestHead => ("", Some("/manifests/")),
        Operation::TagGet | Operation::DigestGet => ("GET", Some("/manifests/")),
        Operation::BlobHead => ("", None),
        Operation::BlobGet | Operation::BlobResume => ("GET", None),
        Operation::Monolithic => ("PUT", Some("/uploads/")),
        Operation::Chunked => ("PATCH", Some("/uploads/")),
        Operation::Mount => ("POST", Some("mount=")),
        Operation::ManifestPut => ("PUT", Some("/manifests/")),
        Operation::Tags => ("GET", Some("/tags/")),
        Operation::Catalog => ("GET", Some("/_catalog")),
        Operation::Referrers => ("GET", Some("/referrers/")),
        Operation::Delete => ("DELETE", Some("/manifests/")),
        Operation::Copy | Operation::Pull => ("GET", None),
    }
}
