//! Four TFTP clients that others wrote, from hosts with a lease and without.

use std::path::Path;

use farrier::cli::demo::rack::{Host, Output, Rack, RackError, SERVER, tools};
use farrier::model::Digest;

use super::{Desk, digest, noise, udhcpc};
use crate::rack::can_run;

const NEEDS: [&[tools::Need]; 3] = [tools::NETWORK, tools::CLIENTS, tools::LOADERS];

/// Larger than 65,535 blocks of 512 bytes, so that block numbers start again.
const LARGE: usize = 34_000_123;

/// atftp, which must bring the file.
pub(super) fn atftp(host: &Host, name: &str, to: &Path) -> Result<(), RackError> {
    let out = with_atftp(host, name, &to.display().to_string())?;
    assert!(out.ok() && to.exists(), "{}{}", out.stdout, out.stderr);
    Ok(())
}

fn with_atftp(host: &Host, name: &str, to: &str) -> Result<Output, RackError> {
    let server = SERVER.to_string();
    let block = ["--option", "blksize 1428", "--option", "tsize 0"];
    let mut words = vec!["atftp"];
    words.extend(block);
    words.extend(["--get", "--remote-file", name, "--local-file", to, &server]);
    host.run(&words)
}

fn with_tftp_hpa(host: &Host, name: &str, to: &str) -> Result<Output, RackError> {
    let server = SERVER.to_string();
    host.run(&["tftp", "-m", "binary", &server, "-c", "get", name, to])
}

fn with_busybox(host: &Host, name: &str, to: &str) -> Result<Output, RackError> {
    let server = SERVER.to_string();
    host.run(&[
        "busybox", "tftp", "-g", "-b", "1428", "-r", name, "-l", to, &server,
    ])
}

fn with_curl(host: &Host, name: &str, to: &str) -> Result<Output, RackError> {
    let url = format!("tftp://{SERVER}/{name}");
    let block = ["--tftp-blksize", "1428"];
    let mut words = vec!["curl", "--silent", "--show-error"];
    words.extend(block);
    words.extend(["--output", to, &url]);
    host.run(&words)
}

/// A program that fetches a name from the rack's server into a file.
type Client = fn(&Host, &str, &str) -> Result<Output, RackError>;

const CLIENTS: [(&str, Client); 4] = [
    ("tftp-hpa", with_tftp_hpa),
    ("atftp", with_atftp),
    ("busybox", with_busybox),
    ("curl", with_curl),
];

#[test]
fn four_clients_fetch_what_a_machine_boots() -> Result<(), RackError> {
    if !can_run("four TFTP clients", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let (host, squatter) = (rack.host("client")?, rack.host("squatter")?);
    let systems = [("web01", host.mac().to_string(), None)];
    let kernel = noise(1_000_000);
    let desk = Desk::with_kernel(rack, &systems, "", &kernel)?;
    desk.server.must(&["distro", "fetch", "rescue"])?;
    let dir = desk.rack.dir().to_path_buf();
    assert!(udhcpc(&host, &dir, &[])?.0.ok(), "{}", desk.server.tail());
    squatter.address("10.77.0.50/24")?;

    let (fetched, loader) = (Digest::of(&kernel), Path::new("/usr/lib/ipxe/snponly.efi"));
    let name = format!("a/{}/rescue/linux", fetched.short());
    for (program, client) in CLIENTS {
        for (name, wanted) in [(&*name, fetched), ("snponly.efi", digest(loader)?)] {
            let to = dir.join(program);
            let out = client(&host, name, &to.display().to_string())?;
            let said = format!("{program} {name}: {}{}", out.stdout, out.stderr);
            assert!(out.ok() && to.exists(), "{said}{}", desk.server.tail());
            assert_eq!(digest(&to)?, wanted, "{said}");
            std::fs::remove_file(&to).map_err(RackError::file(&to))?;
        }
        let fails = |host: &Host, name: &str, word: &str| -> Result<(), RackError> {
            let to = dir.join("nothing");
            let out = client(host, name, &to.display().to_string())?;
            let said = format!("{}{}", out.stdout, out.stderr);
            assert!(
                said.to_lowercase().contains(word),
                "{program} {name}: {said}"
            );
            let length = std::fs::metadata(&to).map_or(0, |m| m.len());
            assert_eq!(length, 0, "{program} {name}");
            let _ = std::fs::remove_file(&to);
            Ok(())
        };
        // error codes 1 and 2, as text of the server's or in the program's own words
        let (unknown, refused) = match program {
            // its exit codes; its words are those of the last system call
            "curl" => ("(68)", "(69)"),
            _ => ("file not found", "permission denied"),
        };
        for name in ["vmlinuz", "../../etc/passwd", "a/000000000000/rescue/linux"] {
            fails(&host, name, unknown)?;
        }
        fails(&squatter, "snponly.efi", refused)?;
        fails(&squatter, &name, refused)?;
    }
    Ok(())
}

#[test]
fn block_numbers_start_again() -> Result<(), RackError> {
    if !can_run("a large file by TFTP", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let host = rack.host("client")?;
    let systems = [("web01", host.mac().to_string(), Some("10.77.0.11"))];
    let kernel = noise(LARGE);
    let desk = Desk::with_kernel(rack, &systems, "", &kernel)?;
    desk.server.must(&["distro", "fetch", "rescue"])?;
    host.address("10.77.0.11/24")?;
    let name = format!("a/{}/rescue/linux", Digest::of(&kernel).short());
    let to = desk.rack.dir().join("linux");
    // without any option: 66,407 blocks in lockstep
    let out = with_tftp_hpa(&host, &name, &to.display().to_string())?;
    assert!(
        out.ok(),
        "{}{}{}",
        out.stdout,
        out.stderr,
        desk.server.tail()
    );
    assert_eq!(digest(&to)?, Digest::of(&kernel));
    Ok(())
}
