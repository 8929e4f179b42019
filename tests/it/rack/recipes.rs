//! The rack without Farrier: each firmware asks a dnsmasq, gets a script that says "your own disk",
//! and boots it. If these fail, the rack is wrong; if only others fail, Farrier is.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use farrier::cli::demo::rack::{Firmware, Patience, Process, Rack, RackError, SERVER, tools};

use super::{can_run, own_disk};

/// GRUB 2.06 returns success when it exits, and EDK2 then opens its menu: it must start the disk's own
/// loader itself.
const CHAIN: &str = "search --file --set=esp /EFI/BOOT/BOOTX64.EFI
chainloader ($esp)/EFI/BOOT/BOOTX64.EFI
boot
";
/// A boot option of EDK2's must fail for the next one to be tried.
const EXIT: &str = "#!ipxe\niseq ${platform} efi && exit 1 || exit 0\n";

fn boots_its_own_disk(scenario: &str, firmware: Firmware) -> Result<(), RackError> {
    let needs = [
        tools::NETWORK,
        tools::MACHINES,
        tools::LOADERS,
        tools::DISKS,
        tools::NEIGHBOUR,
    ];
    if !can_run(scenario, &needs, true) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let files = rack.dir().join("served");
    serve_files(&files)?;
    let asked = http(&rack, &files)?;
    let dnsmasq = dnsmasq(&rack, &files, firmware)?;
    let machine = rack.machine("stray").firmware(firmware).disk(1, "OWN");
    own_disk::write(&machine)?;
    let began = std::time::Instant::now();
    let mut power = machine.power_on()?;
    power.wait_off(Patience::seconds(300))?;
    let took = began.elapsed().as_secs();
    let requests = asked.lock().expect("the list").join(", ");
    eprintln!("{scenario}: {took} s from power-on to its own disk; http: {requests}");
    assert!(power.serial().has(own_disk::SAYS), "{}", power.evidence());
    let log = dnsmasq.said();
    match firmware {
        Firmware::Bios | Firmware::UefiPxe => assert!(requests.contains("/exit.ipxe"), "{log}"),
        Firmware::UefiHttp => assert!(requests.contains("HEAD /snponly.efi"), "{log}"),
        Firmware::UefiSecureBoot => assert!(log.contains("grub/grub.cfg"), "{log}"),
    }
    Ok(())
}

fn serve_files(dir: &Path) -> Result<(), RackError> {
    let grub = dir.join("grub");
    fs::create_dir_all(&grub).map_err(RackError::file(dir))?;
    for (from, to) in [
        ("/usr/lib/ipxe/snponly.efi", "snponly.efi"),
        ("/usr/lib/shim/shimx64.efi.signed", "shimx64.efi"),
        (
            "/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed",
            "grubx64.efi",
        ),
    ] {
        fs::copy(from, dir.join(to)).map_err(RackError::file(Path::new(from)))?;
    }
    fs::write(dir.join("exit.ipxe"), EXIT).map_err(RackError::file(dir))?;
    fs::write(grub.join("grub.cfg"), CHAIN).map_err(RackError::file(dir))
}

fn dnsmasq(rack: &Rack, files: &Path, firmware: Firmware) -> Result<Process, RackError> {
    let mut command = rack.namespace().command("dnsmasq");
    command
        .args([
            "--no-daemon",
            "--conf-file=/dev/null",
            "--port=0",
            "--log-dhcp",
        ])
        .args(["--bind-interfaces", "--interface=br0", "--enable-tftp"])
        .arg("--dhcp-range=10.77.0.100,10.77.0.150,1h")
        .arg(format!("--tftp-root={}", files.display()))
        .arg(format!("--dhcp-leasefile={}/leases", rack.dir().display()))
        .arg("--dhcp-match=set:ipxe,175")
        .arg(format!("--dhcp-boot=tag:ipxe,http://{SERVER}/exit.ipxe"));
    match firmware {
        Firmware::Bios => {}
        Firmware::UefiPxe => {
            command.arg("--dhcp-boot=tag:!ipxe,snponly.efi");
        }
        Firmware::UefiHttp => {
            command
                .arg("--dhcp-vendorclass=set:http,HTTPClient")
                .arg("--dhcp-option-force=tag:http,60,HTTPClient")
                .arg(format!(
                    "--dhcp-boot=tag:http,tag:!ipxe,http://{SERVER}/snponly.efi"
                ));
        }
        Firmware::UefiSecureBoot => {
            command.arg("--dhcp-boot=shimx64.efi");
        }
    }
    let log = rack.dir().join("dnsmasq.log");
    Process::start("dnsmasq", &mut command, &log, false)
}

/// The smallest HTTP server that EDK2 and iPXE accept; returns what was asked for.
fn http(rack: &Rack, files: &Path) -> Result<Arc<Mutex<Vec<String>>>, RackError> {
    let listener = rack
        .namespace()
        .inside(|| TcpListener::bind((SERVER, 80)))?;
    let listener = listener.map_err(RackError::file(files))?;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (list, files) = (Arc::clone(&asked), files.to_path_buf());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (list, files) = (Arc::clone(&list), files.clone());
            std::thread::spawn(move || answer(&stream, &files, &list));
        }
    });
    Ok(asked)
}

fn answer(stream: &TcpStream, files: &Path, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(Ok(request)) = lines.next() {
        for header in lines.by_ref() {
            if header?.is_empty() {
                break;
            }
        }
        let mut words = request.split(' ');
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or("/"));
        asked
            .lock()
            .expect("the list")
            .push(format!("{method} {path}"));
        let body = fs::read(files.join(path.trim_start_matches('/')))?;
        write!(
            out,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )?;
        if method != "HEAD" {
            out.write_all(&body)?;
        }
    }
    Ok(())
}

#[test]
fn bios_boots_its_own_disk() -> Result<(), RackError> {
    boots_its_own_disk("recipe of BIOS", Firmware::Bios)
}

#[test]
fn uefi_pxe_boots_its_own_disk() -> Result<(), RackError> {
    boots_its_own_disk("recipe of UEFI PXE", Firmware::UefiPxe)
}

#[test]
fn uefi_http_boots_its_own_disk() -> Result<(), RackError> {
    boots_its_own_disk("recipe of UEFI HTTP", Firmware::UefiHttp)
}

#[test]
fn secure_boot_boots_its_own_disk() -> Result<(), RackError> {
    boots_its_own_disk("recipe of Secure Boot", Firmware::UefiSecureBoot)
}
