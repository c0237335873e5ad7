//! The tasks to measure: one row of the table each.

use std::time::Duration;

use super::link::Link;

/// What the programs of one row do, with which content, and how well longshore should do it.
#[derive(Clone, Copy)]
pub(super) struct Task {
    pub(super) name: &'static str,
    pub(super) action: Action,
    pub(super) content: Content,
    pub(super) network: Network,
    pub(super) who: Who,
    /// The aim for longshore's wall time, divided by that of the fastest other program that
    /// verifies the content.
    pub(super) wall_aim: Option<f64>,
    /// The aim for longshore's peak RSS in MiB.
    pub(super) memory_aim: Option<u32>,
    /// Whether the row needs much disk space, and is measured only with `--large`.
    large: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// Copies from one registry to an empty one.
    Copy,
    /// Copies what an earlier copy has already brought to the target.
    CopyAgain,
    /// Pulls to a new folder.
    Pull,
    /// Pulls to a new folder, eight blobs at a time.
    PullEight,
    /// Pushes what the same program pulled.
    Push,
    /// Accepts a push: the measured program is the registry.
    Serve,
    Ls,
    Digest,
    BlobPut,
    BlobGet,
}

/// The programs of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Who {
    All,
    /// The builds of longshore.
    Builds,
}

/// What is between the programs and the registries.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Network {
    Loopback,
    /// Loopback with TLS.
    Tls,
    /// A proxy in front of each registry.
    Link(Link),
}

/// The images of one repository.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Content {
    pub(super) repository: &'static str,
    pub(super) layers: usize,
    pub(super) layer_size: u64,
    pub(super) tags: Tags,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tags {
    /// One image, with the tag `v1`.
    One,
    /// This number of images, with one tag each.
    Images(usize),
    /// One image, with the tag `v1` and this number of further tags.
    OfOneImage(usize),
}

impl Task {
    const fn new(name: &'static str, action: Action, content: Content) -> Self {
        Self {
            name,
            action,
            content,
            network: Network::Loopback,
            who: Who::All,
            wall_aim: None,
            memory_aim: None,
            large: false,
        }
    }

    const fn over(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    const fn builds_only(mut self) -> Self {
        self.who = Who::Builds;
        self
    }

    const fn wall(mut self, aim: f64) -> Self {
        self.wall_aim = Some(aim);
        self
    }

    const fn memory(mut self, aim: u32) -> Self {
        self.memory_aim = Some(aim);
        self
    }

    const fn large(mut self) -> Self {
        self.large = true;
        self
    }

    /// Returns whether the programs transfer all tags of the repository.
    pub(super) fn all_tags(&self) -> bool {
        self.content.tags != Tags::One
    }

    /// Returns the bytes that the task moves, if the CPU time for each byte is of interest: in
    /// tasks with many small images, the requests cost more than the bytes.
    pub(super) fn bytes(&self) -> Option<u64> {
        let moves = !matches!(self.action, Action::CopyAgain | Action::Ls | Action::Digest);
        (moves && !self.all_tags()).then(|| self.content.image_size())
    }

    /// Returns whether the task is compared with its floors: the cost of receiving and hashing the
    /// same bytes with the simplest programs.
    pub(super) fn has_floors(&self) -> bool {
        self.action == Action::Pull && self.network == Network::Loopback && !self.all_tags()
    }
}

impl Content {
    pub(super) fn image_size(&self) -> u64 {
        self.layers as u64 * self.layer_size
    }

    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes are below 2^53, and a scaled size need not be exact"
    )]
    fn scaled(self, scale: f64) -> Self {
        let scaled = |n: u64| ((n as f64 * scale) as u64).max(1);
        let count = |n: usize| scaled(n as u64) as usize;
        let tags = match self.tags {
            Tags::One => Tags::One,
            Tags::Images(n) => Tags::Images(count(n)),
            Tags::OfOneImage(n) => Tags::OfOneImage(count(n)),
        };
        Self { layer_size: scaled(self.layer_size), tags, ..self }
    }
}

/// Returns the tasks whose name contains `only`, with content of `scale` times the size.
pub(super) fn select(only: &str, large: bool, scale: f64) -> Vec<Task> {
    TASKS
        .iter()
        .filter(|task| task.name.contains(only) && (large || !task.large))
        .map(|task| Task { content: task.content.scaled(scale), ..*task })
        .collect()
}

/// The tasks, with the aims of the project.
const TASKS: &[Task] = &[
    Task::new("copy, 1 GiB, 8 layers", Action::Copy, BIG).wall(0.95),
    Task::new("pull, 1 GiB, 8 layers", Action::Pull, BIG).wall(0.85),
    Task::new("push, 1 GiB, 8 layers", Action::Push, BIG).wall(1.0),
    Task::new("pull, 1 GiB, 1 layer", Action::Pull, ONE_LAYER),
    Task::new("copy, 1 GiB, 8 layers, TLS", Action::Copy, BIG).over(Network::Tls),
    Task::new("pull, 1 GiB, 8 layers, TLS", Action::Pull, BIG).over(Network::Tls),
    Task::new("pull, 1 GiB, 1 layer, 100 MB/s a connection", Action::Pull, ONE_LAYER).over(LIMITED),
    Task::new("pull, 1 GiB, 8 layers, 100 MB/s a connection", Action::Pull, BIG).over(LIMITED),
    Task::new("pull, 256 MiB, 1 layer, 40 ms away", Action::Pull, QUARTER).over(FAR),
    Task::new("copy, 200 tags of 3 × 20 KiB", Action::Copy, SMALL).wall(0.5),
    Task::new("pull, 200 tags of 3 × 20 KiB", Action::Pull, SMALL),
    Task::new("push, 200 tags of 3 × 20 KiB", Action::Push, SMALL),
    Task::new("copy again, 200 tags", Action::CopyAgain, SMALL).wall(0.5),
    Task::new("copy, 40 tags of 3 × 20 KiB, 40 ms away", Action::Copy, FEW).over(FAR).wall(0.15),
    Task::new("serve takes 200 tags of 3 × 20 KiB", Action::Serve, SMALL).builds_only(),
    Task::new("serve takes 1 GiB, 8 layers", Action::Serve, BIG).builds_only(),
    Task::new("ls, 20,000 tags", Action::Ls, MANY).wall(0.9),
    Task::new("digest, cold", Action::Digest, MANY),
    Task::new("copy, 10,000 tags of one image", Action::Copy, TAGS).builds_only().memory(96),
    Task::new("blob put, 10 GiB", Action::BlobPut, HUGE).builds_only().memory(64).large(),
    Task::new("blob get, 10 GiB", Action::BlobGet, HUGE).builds_only().memory(64).large(),
    Task::new("pull, 8 × 1 GiB at once", Action::PullEight, EIGHT).builds_only().memory(96).large(),
];

const FAR: Network =
    Network::Link(Link { round_trip: Duration::from_millis(40), bytes_per_second: None });
const LIMITED: Network =
    Network::Link(Link { round_trip: Duration::ZERO, bytes_per_second: Some(100_000_000) });

const BIG: Content = image("big", 8, 128 << 20);
const ONE_LAYER: Content = image("one-layer", 1, 1 << 30);
const QUARTER: Content = image("quarter", 1, 256 << 20);
const HUGE: Content = image("huge", 1, 10 << 30);
const EIGHT: Content = image("eight", 8, 1 << 30);
const SMALL: Content = Content { tags: Tags::Images(200), ..image("small", 3, 20 << 10) };
const FEW: Content = Content { tags: Tags::Images(40), ..image("few", 3, 20 << 10) };
const MANY: Content = Content { tags: Tags::OfOneImage(20_000), ..image("many", 3, 20 << 10) };
const TAGS: Content = Content { tags: Tags::OfOneImage(10_000), ..image("tags", 3, 20 << 10) };

const fn image(repository: &'static str, layers: usize, layer_size: u64) -> Content {
    Content { repository, layers, layer_size, tags: Tags::One }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(only: &str, large: bool) -> Vec<&'static str> {
        select(only, large, 1.0).iter().map(|task| task.name).collect()
    }

    #[test]
    fn tasks_are_selected_by_a_part_of_their_name() {
        assert_eq!(names("40 ms", false).len(), 2);
        assert_eq!(names("serve takes 1 GiB", false), ["serve takes 1 GiB, 8 layers"]);
        assert_eq!(names("no such task", true), [""; 0]);
    }

    #[test]
    fn large_tasks_are_selected_only_on_request() {
        assert_eq!(names("10 GiB", false), [""; 0]);
        assert_eq!(names("10 GiB", true), ["blob put, 10 GiB", "blob get, 10 GiB"]);
    }

    #[test]
    fn one_repository_always_has_the_same_content() {
        for task in TASKS {
            let same = TASKS.iter().filter(|t| t.content.repository == task.content.repository);
            assert!(same.into_iter().all(|t| t.content == task.content), "{}", task.name);
        }
    }

    #[test]
    fn a_scale_changes_sizes_and_numbers_of_tags() {
        let content = SMALL.scaled(0.1);
        assert_eq!((content.layer_size, content.tags), (2048, Tags::Images(20)));
        assert_eq!(FEW.scaled(0.001).tags, Tags::Images(1));
    }

    #[test]
    fn bytes_are_counted_only_where_the_task_moves_one_image() {
        let bytes = |name| select(name, false, 1.0)[0].bytes();
        assert_eq!(bytes("pull, 1 GiB, 8 layers"), Some(1 << 30));
        assert_eq!(bytes("pull, 200 tags"), None);
        assert_eq!(bytes("digest, cold"), None);
    }
}
