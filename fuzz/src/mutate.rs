//! Mutates inputs. Deterministic: the same seed produces the same inputs.

use fastrand::Rng;

/// Returns a new input made of one or more of the seeds.
pub fn mutate(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut input = rng.choice(seeds).cloned().unwrap_or_default();
    // Usually few changes, because parsers refuse an input with many changes at one of its first
    // bytes.
    for _ in 0..1 << rng.u32(0..4) {
        change(&mut input, seeds, rng);
    }
    input.truncate(SIZE_LIMIT);
    input
}

fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.usize(..=input.len());
    let here = stretch(input, rng);
    match rng.u8(..8) {
        0 if at < input.len() => input[at] ^= 1 << rng.u8(..8),
        1 if at < input.len() => input[at] = ODD[rng.usize(..ODD.len())],
        2 => input.insert(at, ODD[rng.usize(..ODD.len())]),
        3 => drop(input.drain(here)),
        4 => {
            let copy = input[here].to_vec();
            input.splice(at..at, copy);
        }
        5 => {
            let number = NUMBERS[rng.usize(..NUMBERS.len())];
            input.splice(here, number.bytes());
        }
        _ => {
            let other = rng.choice(seeds).cloned().unwrap_or_default();
            let part = stretch(&other, rng);
            input.splice(here, other[part].iter().copied());
        }
    }
}

/// Returns a range within the input: usually short, sometimes all of it.
fn stretch(of: &[u8], rng: &mut Rng) -> std::ops::Range<usize> {
    let start = rng.usize(..=of.len());
    let longest = (of.len() - start).min(1 << rng.u32(..12));
    start..start + rng.usize(..=longest)
}

/// Bytes with a special meaning in the formats.
const ODD: &[u8] = b"\0\t\n\r \"#%'*+,-./0179:;<=>@AZ[\\]_az{|}\x7f\x80\xc3\xff";
/// Numbers at the limits of integer types.
const NUMBERS: [&str; 6] = [
    "0",
    "-1",
    "2147483648",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
];
/// 64 KiB: larger than every limit of the header parsers.
const SIZE_LIMIT: usize = 64 << 10;
