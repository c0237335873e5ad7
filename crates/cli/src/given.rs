//! Values of options: optional values, and values for all registries or for one registry.

use std::str::FromStr;

use longshore::{ParseError, RegistryName};

/// An optional value. An empty environment variable counts as unset.
#[derive(Clone, Debug)]
pub(crate) struct Given<T>(pub(crate) Option<T>);

impl<T: FromStr> FromStr for Given<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() { Ok(Self(None)) } else { text.parse().map(Some).map(Self) }
    }
}

/// Returns the value that is set, if any.
pub(crate) fn one<T>(given: Option<&Given<T>>) -> Option<&T> {
    given.and_then(|given| given.0.as_ref())
}

/// Returns the values that are set.
pub(crate) fn all<T>(given: &[Given<T>]) -> impl Iterator<Item = &T> {
    given.iter().filter_map(|given| given.0.as_ref())
}

/// A value for all registries, or for one registry: `[REGISTRY=]VALUE`.
#[derive(Clone, Debug)]
pub(crate) struct ForRegistry<T> {
    pub(crate) registry: Option<RegistryName>,
    pub(crate) value: T,
}

impl<T: FromStr<Err: From<ParseError>>> FromStr for ForRegistry<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((registry, value)) => {
                let registry = Some(registry.parse()?);
                value.parse().map(|value| Self { registry, value })
            }
            None => text.parse().map(|value| Self { registry: None, value }),
        }
    }
}

/// A value for one registry: `REGISTRY=VALUE`.
#[derive(Clone, Debug)]
pub(crate) struct ForOneRegistry<T> {
    pub(crate) registry: RegistryName,
    pub(crate) value: T,
}

impl<T: FromStr<Err: From<ParseError>>> FromStr for ForOneRegistry<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((registry, value)) = text.split_once('=') else {
            let reason = "expected REGISTRY=VALUE";
            return Err(ParseError::new("value for a registry", text, reason).into());
        };
        let registry = registry.parse()?;
        value.parse().map(|value| Self { registry, value })
    }
}

#[cfg(test)]
mod tests {
    use longshore::Scheme;

    use super::*;

    #[test]
    fn a_value_applies_to_all_registries_or_to_one() {
        let one: ForRegistry<Scheme> = "r.example:5000=detect".parse().unwrap();
        assert_eq!((one.registry.unwrap().as_str(), one.value), ("r.example:5000", Scheme::Detect));
        let every: ForRegistry<Scheme> = "detect".parse().unwrap();
        assert_eq!((every.registry, every.value), (None, Scheme::Detect));
        assert!("r.example=ssh".parse::<ForRegistry<Scheme>>().is_err());
    }

    #[test]
    fn a_value_for_one_registry_requires_its_name() {
        let one: ForOneRegistry<Scheme> = "r.example=http".parse().unwrap();
        assert_eq!((one.registry.as_str(), one.value), ("r.example", Scheme::Http));
        let refused = "http".parse::<ForOneRegistry<Scheme>>().unwrap_err().to_string();
        assert!(refused.contains("expected REGISTRY=VALUE"), "{refused}");
    }
}
