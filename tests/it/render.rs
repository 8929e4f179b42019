//! Rendering, judged by the programs that read the results: shells, debconf, systemd, Python's
//! parsers, and the Debian installer's own busybox.
#![expect(
    clippy::print_stderr,
    reason = "a check that cannot run says so, and speed is printed"
)]

mod agents;
mod anaconda;
mod autoinstall;
mod boot_order;
mod cloud_init;
mod contents;
mod debian;
mod esxi;
mod every;
mod fai;
mod first_boot;
mod first_reports;
mod hostile;
mod ignition;
mod initramfs;
mod installer;
mod intent;
mod limits;
mod live;
mod nixos;
mod overlay;
mod secrets;
mod server;
mod site;
mod speed;
mod suse;
pub(crate) mod tier3;
mod windows;
