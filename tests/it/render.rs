//! Rendering, judged by the programs that read the results: shells, debconf, systemd, Python's
//! parsers, and the Debian installer's own busybox.

mod debian;
mod fai;
mod first_boot;
mod hostile;
mod limits;
mod site;
