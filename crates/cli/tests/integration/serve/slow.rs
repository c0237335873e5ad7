//! Clients that send many requests and read no replies.

use longshore::Digest;
use longshore_testkit::frames::Connection;

use super::{ask, post};
use crate::blobs::most_memory;
use crate::program::Program;

/// Returns the number of open files of a process.
fn open_files(id: u32) -> usize {
    std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
}

/// Requests a blob on more streams than the number of files that the process may open. A window of
/// 0 bytes keeps the server from sending any content.
#[tokio::test]
async fn unread_streams_do_not_exhaust_memory_or_open_files() {
    let program = Program::new();
    let server = program.serve_within(256, "root");
    let (address, id) = (server.address.clone(), server.process.id());
    let blob = vec![0; 4 << 20];
    assert_eq!(ask(&address, &post("a", &blob), &[], &blob).status, 201);
    let path = format!("/v2/a/blobs/{}", Digest::sha256(&blob));
    let mut connections = Vec::new();
    for _ in 0..9 {
        let mut connection = Connection::open(address.parse().unwrap(), 0).await;
        for i in 0..127 {
            connection.get(2 * i + 1, &path).await;
        }
        connection.read_until(|came| came.answered.len() == 32 && came.reset.len() == 95).await;
        connections.push(connection);
    }
    let second = ask(&address, &format!("GET {path}"), &["Range: bytes=0-99"], b"");
    assert_eq!((second.status, second.body.len()), (206, 100));
    let (files, memory) = (open_files(id), most_memory(id).unwrap());
    assert!(files < 64, "{files} files");
    assert!(memory < 96 << 20, "{memory} bytes");
    drop(connections);
}
