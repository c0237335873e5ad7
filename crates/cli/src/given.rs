//! Optional values of options.

/// An optional value. An empty environment variable counts as unset.
#[derive(Clone, Debug)]
pub(crate) struct Given<T>(pub(crate) Option<T>);

impl<T: std::str::FromStr> std::str::FromStr for Given<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() { Ok(Self(None)) } else { text.parse().map(Some).map(Self) }
    }
}
