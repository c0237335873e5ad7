//! Ranks the offered platforms by how well they fit the wanted platform.

use super::{Platform, normalize};

/// The distance of an offered platform from the wanted platform. The smallest distance is the best
/// fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fit {
    /// The number of steps from the wanted processor down to the offered processor.
    variant: u32,
    os_version: u8,
    os_features: u8,
    /// True if the variants are written differently, even if they are equal: `arm` is the same as
    /// `arm/v7`.
    spelling: bool,
}

impl Fit {
    /// Returns true if the distance is zero, apart from the spelling.
    pub(crate) fn is_exact(self) -> bool {
        Self { spelling: false, ..self }
            == Self { variant: 0, os_version: 0, os_features: 0, spelling: false }
    }
}

/// Returns the distance of `offered` from `wanted`, or `None` if `offered` does not fit.
///
/// An image for an older processor runs on a newer processor of the same architecture. Another
/// architecture never fits, even if some machines could run the image.
///
/// Source: containerd, platforms, `Only`, which would accept `386` for `amd64` and `arm` for
/// `arm64`.
pub(super) fn fit(offered: &Platform, wanted: &Platform) -> Option<Fit> {
    let (architecture, offered_variant) =
        normalize(&offered.architecture, offered.variant.as_deref());
    let (wanted_architecture, wanted_variant) =
        normalize(&wanted.architecture, wanted.variant.as_deref());
    if !offered.os.eq_ignore_ascii_case(&wanted.os) || architecture != wanted_architecture {
        return None;
    }
    Some(Fit {
        variant: variant(&architecture, offered_variant.as_deref(), wanted_variant.as_deref())?,
        os_version: os_version(offered, wanted)?,
        os_features: os_features(offered, wanted)?,
        spelling: offered_variant != wanted_variant,
    })
}

fn variant(architecture: &str, offered: Option<&str>, wanted: Option<&str>) -> Option<u32> {
    let usual = match architecture {
        "amd64" => Some("v1"),
        "arm" => Some("v7"),
        "arm64" => Some("v8"),
        _ => None,
    };
    let (offered_variant, wanted_variant) = (offered.or(usual), wanted.or(usual));
    if offered_variant == wanted_variant {
        return Some(0);
    }
    let down = || {
        steps_down(
            version(architecture, offered_variant?)?,
            version(architecture, wanted_variant?)?,
        )
    };
    down().or_else(|| wanted.is_none().then_some(ANY))
}

/// Returns the generation and the step of a processor variant, if newer processors of its family
/// are backward compatible.
fn version(architecture: &str, variant: &str) -> Option<(u32, u32)> {
    let number = variant.strip_prefix('v')?;
    match architecture {
        "amd64" | "arm" => Some((0, number.parse().ok()?)),
        "arm64" => {
            let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
            Some((major.parse().ok()?, minor.parse().ok()?))
        }
        _ => None,
    }
}

/// Counts the steps from the wanted processor down to the offered processor. Returns `None` if the
/// offered processor is newer, or of an incompatible generation.
fn steps_down(offered: (u32, u32), wanted: (u32, u32)) -> Option<u32> {
    match (offered, wanted) {
        ((offered, step), (wanted, top)) if offered == wanted => top.checked_sub(step),
        // ARMv9.x has all features of ARMv8.(x+5).
        ((8, step), (9, top)) => {
            top.checked_add(5)?.checked_sub(step)?.checked_add(top)?.checked_add(1)
        }
        _ => None,
    }
}

/// Compares Windows versions by their build, because images for another revision of the build also
/// run. A platform without a version fits every version.
fn os_version(offered: &Platform, wanted: &Platform) -> Option<u8> {
    let build =
        |version: &str| version.splitn(4, '.').take(3).map(str::to_owned).collect::<Vec<_>>();
    match (offered.os_version.as_deref(), wanted.os_version.as_deref()) {
        (_, None) => Some(0),
        (None, Some(_)) => Some(2),
        (Some(version), Some(wanted_version)) if version == wanted_version => Some(0),
        (Some(version), Some(wanted_version)) => {
            let windows = wanted.os.eq_ignore_ascii_case("windows");
            (windows && build(version) == build(wanted_version)).then_some(1)
        }
    }
}

/// Checks that the machine has the features that the image requires, if the features of the machine
/// are known.
fn os_features(offered: &Platform, wanted: &Platform) -> Option<u8> {
    let has = |feature: &String| wanted.os_features.contains(feature);
    match (offered.os_features.is_empty(), wanted.os_features.is_empty()) {
        (true, true) => Some(0),
        (true, false) | (false, true) => Some(1),
        (false, false) => {
            let equal = offered.os_features.len() == wanted.os_features.len();
            offered.os_features.iter().all(has).then_some(u8::from(!equal))
        }
    }
}

/// The distance if a variant fits only because the wanted platform has no variant. This distance is
/// larger than any number of steps.
const ANY: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn best<'a>(wanted: &str, offered: &[&'a str]) -> Option<&'a str> {
        let wanted = Platform::parse(wanted).unwrap();
        let fits = offered.iter().filter_map(|&text| {
            let (os, rest) = text.split_once('/').unwrap();
            let (architecture, variant) = match rest.split_once('/') {
                Some((architecture, variant)) => (architecture, Some(variant.to_owned())),
                None => (rest, None),
            };
            // The platform is as in an index, without normalization.
            let mut platform = Platform { variant, ..Platform::default() };
            (platform.os, platform.architecture) = (os.to_owned(), architecture.to_owned());
            fit(&platform, &wanted).map(|fit| (fit, text))
        });
        fits.min_by_key(|(fit, _)| *fit).map(|(_, text)| text)
    }

    #[test]
    fn the_newest_compatible_processor_fits_best() {
        let arms = ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8"];
        let amds = ["linux/386", "linux/amd64", "linux/amd64/v2", "linux/amd64/v4"];
        let arm64s = ["linux/arm64", "linux/arm64/v8.2", "linux/arm64/v9", "linux/arm64/v9.2"];
        for (wanted, offered, expected) in [
            ("linux/arm/v8", &arms[..], Some("linux/arm/v7")),
            ("linux/arm/v7", &arms[..], Some("linux/arm/v7")),
            ("linux/arm/v7", &arms[..2], Some("linux/arm/v6")),
            ("linux/arm/v6", &arms[..], Some("linux/arm/v6")),
            ("linux/arm/v5", &arms[1..], None),
            ("linux/arm", &arms[..], Some("linux/arm/v7")),
            ("linux/armhf", &arms[..1], Some("linux/arm/v5")),
            ("linux/arm/7", &arms[..], Some("linux/arm/v7")),
            ("linux/arm/v7", &["linux/arm", "linux/arm/v6"], Some("linux/arm")),
            ("linux/arm/v7", &["linux/arm", "linux/arm/v7"], Some("linux/arm/v7")),
            ("linux/arm/v6", &["linux/arm"], None),
            ("linux/arm64", &arms[..], Some("linux/arm64/v8")),
            ("linux/arm64/v8", &["linux/arm64"], Some("linux/arm64")),
            ("linux/arm64", &arms[..3], None),
            ("linux/arm64", &arm64s[..], Some("linux/arm64")),
            ("linux/arm64/v8.1", &arm64s[..], Some("linux/arm64")),
            ("linux/arm64/v8.9", &arm64s[..], Some("linux/arm64/v8.2")),
            ("linux/arm64/v9.1", &arm64s[..], Some("linux/arm64/v9")),
            ("linux/arm64/v9.1", &arm64s[..2], Some("linux/arm64/v8.2")),
            ("linux/arm64/v9", &["linux/arm64/v8.6"], None),
            ("linux/amd64/v3", &amds[..], Some("linux/amd64/v2")),
            ("linux/amd64/v3", &amds[..2], Some("linux/amd64")),
            ("linux/amd64/v3", &amds[3..], None),
            ("linux/x86_64", &amds[1..], Some("linux/amd64")),
            ("linux/amd64", &amds[..1], None),
            ("windows/amd64", &amds[..], None),
            ("linux/riscv64/rva23", &["linux/riscv64/rva20", "linux/riscv64"], None),
            ("linux/ppc64le", &["linux/ppc64le/power9", "linux/ppc64le"], Some("linux/ppc64le")),
            // Without a wanted variant, every variant fits, and the usual variant fits best.
            ("linux/amd64", &amds[2..], Some("linux/amd64/v2")),
            ("linux/arm", &["linux/arm/v8"], Some("linux/arm/v8")),
            ("linux/amd64/v99999999999", &amds[1..], None),
        ] {
            assert_eq!(best(wanted, offered), expected, "{wanted} of {offered:?}");
        }
    }

    #[test]
    fn stated_os_versions_and_features_must_match() {
        let windows = |version: Option<&str>, features: &[&str]| Platform {
            os_version: version.map(Into::into),
            os_features: features.iter().map(|&feature| feature.to_owned()).collect(),
            ..Platform::new("windows", "amd64", None)
        };
        let build = Some("10.0.17763.100");
        for (offered, wanted, expected) in [
            (windows(build, &[]), windows(None, &[]), Some((0, 0))),
            (windows(build, &[]), windows(build, &[]), Some((0, 0))),
            (windows(build, &[]), windows(Some("10.0.17763.999"), &[]), Some((1, 0))),
            (windows(build, &[]), windows(Some("10.0.17763"), &[]), Some((1, 0))),
            (windows(None, &[]), windows(build, &[]), Some((2, 0))),
            (windows(build, &[]), windows(Some("10.0.20348.100"), &[]), None),
            (windows(None, &["win32k"]), windows(None, &["win32k"]), Some((0, 0))),
            (windows(None, &["win32k"]), windows(None, &["win32k", "x"]), Some((0, 1))),
            (windows(None, &["win32k"]), windows(None, &[]), Some((0, 1))),
            (windows(None, &["win32k"]), windows(None, &["x"]), None),
        ] {
            let found = fit(&offered, &wanted).map(|fit| (fit.os_version, fit.os_features));
            assert_eq!(found, expected, "{offered:?} for {wanted:?}");
        }
        let linux = |version: &str| Platform {
            os_version: Some(version.to_owned()),
            ..Platform::new("linux", "amd64", None)
        };
        assert_eq!(fit(&linux("6.1.0.1"), &linux("6.1.0.2")), None);
    }
}
