//! The number of parallel transfers, counted by a registry.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use longshore_testkit::fixture::{Content, Image, Layer, layer_tar};

use crate::program::Program;
use crate::transfers::layout;

#[test]
fn parallel_limits_the_number_of_large_blob_transfers() {
    let program = Program::new();
    let packed = layout(&program, "packed", &six_layers(), "v1");
    for parallel in [2, 3] {
        let (address, gate) = Gate::start(parallel);
        program.ok(&format!("push -q {packed} {address}/a:v1 --parallel {parallel}"));
        assert_eq!(gate.state.lock().unwrap().most, parallel);
    }
}

/// An image with six large layers.
fn six_layers() -> Content {
    // Smaller blobs are not limited by the option.
    let layer = |n: usize| Layer::plain(&layer_tar(&[(&format!("{n}"), &[0; 80 << 10])]));
    let image = Image::new("linux/amd64".parse().unwrap());
    (0..6).map(layer).fold(image, Image::layer).build()
}

/// An empty registry that delays its replies for blobs until enough requests are in progress.
struct Gate {
    together: usize,
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Default)]
struct State {
    waiting: usize,
    most: usize,
    openings: usize,
}

impl Gate {
    fn start(together: usize) -> (String, Arc<Self>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let gate = Self { together, state: Mutex::default(), opened: Condvar::new() };
        let gate = Arc::new(gate);
        let serving = Arc::clone(&gate);
        // The threads end with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let gate = Arc::clone(&serving);
                thread::spawn(move || gate.serve(&stream.unwrap()));
            }
        });
        (address, gate)
    }

    fn serve(&self, mut stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some((request, size)) = head(&mut reader) {
            reader.read_exact(&mut vec![0; size]).unwrap();
            let (method, path) = request.split_once(' ').unwrap();
            let answer = match method {
                "POST" => "202 Accepted\r\nlocation: /v2/a/blobs/uploads/1",
                "PUT" if path.contains("/blobs/") => {
                    if size > 64 << 10 {
                        self.pass();
                    }
                    "201 Created\r\nlocation: /v2/a/blobs/1"
                }
                "PUT" => "201 Created\r\nlocation: /v2/a/manifests/1",
                _ => "404 Not Found",
            };
            write!(stream, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").unwrap();
        }
    }

    /// Waits until enough requests are in progress. The last request waits another 50 ms, so that
    /// excess requests are counted.
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        state.most = state.most.max(state.waiting);
        if state.waiting == self.together {
            drop(state);
            thread::sleep(Duration::from_millis(50));
            state = self.state.lock().unwrap();
            state.waiting = 0;
            state.openings += 1;
            self.opened.notify_all();
        } else {
            let now = state.openings;
            drop(self.opened.wait_while(state, |state| state.openings == now).unwrap());
        }
    }
}

/// Reads a request's first line and body size, or returns `None` at the end of the connection.
fn head(reader: &mut BufReader<&TcpStream>) -> Option<(String, usize)> {
    let mut lines = reader.by_ref().lines().map_while(Result::ok);
    let request = lines.next()?;
    let mut size = 0;
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some((_, value)) = line.to_lowercase().split_once("content-length:") {
            size = value.trim().parse().unwrap();
        }
    }
    Some((request, size))
}
