//! The suites on the stores of core.

use longshore_core::Memory;
use longshore_testkit::delete_suite;
use longshore_testkit::suite::Fresh;

delete_suite!(memory, async || Fresh::of(Memory::new()));
