//! The program as its users meet it: arguments in, stdout, stderr and exit code out.

mod answers;
mod crash;
mod credentials;
mod faults;
mod peers;
mod program;
mod refusals;
mod transfers;
