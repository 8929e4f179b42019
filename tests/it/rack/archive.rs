//! A mirror of Debian that this host reaches, with what it lacks of Debian's installer laid over it
//! (`archive/fill.py` says what that is).

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use farrier::cli::demo::rack::RackError;

use super::outside::{Mirror, mirror};

const FILL: &str = include_str!("archive/fill.py");

/// Served on a unix socket until the process ends.
pub(super) struct Archive {
    folder: PathBuf,
    socket: PathBuf,
}

impl Archive {
    /// Makes what is lacking of `suite`, whose images for the network are in the package `images`.
    pub(super) fn make(dir: &Path, suite: &str, images: &str) -> Result<Archive, RackError> {
        let folder = dir.join("archive");
        fs::create_dir_all(&folder).map_err(RackError::file(&folder))?;
        let mirror = mirror();
        let made = Command::new("python3")
            .args(["-c", FILL, &mirror.url, suite, images])
            .arg(&folder)
            .output()
            .expect("python3");
        let said = String::from_utf8_lossy(&made.stdout).into_owned();
        assert!(
            made.status.success(),
            "{said}\n{}",
            String::from_utf8_lossy(&made.stderr)
        );
        eprintln!("{said}");
        let socket = dir.join("archive.sock");
        let listener = UnixListener::bind(&socket).map_err(RackError::file(&socket))?;
        let (base, over) = (mirror, folder.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (base, over) = (base.clone(), over.clone());
                // A client that went away is no concern of the archive's.
                std::thread::spawn(move || answers(client, &base, &over).ok());
            }
        });
        Ok(Archive { folder, socket })
    }

    /// Where it answers.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// `linux`, `initrd.gz`, and `key.cpio`, which makes the installer believe the made part.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// One request: a file that was made, or the mirror's own answer to it.
fn answers(client: UnixStream, mirror: &Mirror, over: &Path) -> std::io::Result<()> {
    let mut asked = BufReader::new(client.try_clone()?);
    let mut client = client;
    let mut line = String::new();
    asked.read_line(&mut line)?;
    let mut head = vec![];
    loop {
        let mut header = String::new();
        if asked.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if !header.to_ascii_lowercase().starts_with("connection:") {
            head.push(header);
        }
    }
    let path = line.split(' ').nth(1).unwrap_or("/");
    let below = path.strip_prefix(&mirror.path).unwrap_or(path);
    // of what these names have, only the plus is written otherwise in a URL
    let file = over.join(below.trim_start_matches('/').replace("%2B", "+"));
    let served = below.starts_with("/dists/") || below.starts_with("/pool/made/");
    if served && !below.contains("..") && file.is_file() {
        let size = fs::metadata(&file)?.len();
        write!(
            client,
            "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
        )?;
        if !line.starts_with("HEAD ") {
            std::io::copy(&mut fs::File::open(&file)?, &mut client)?;
        }
        return Ok(());
    }
    let mut upstream = TcpStream::connect(&mirror.host)?;
    write!(upstream, "{line}{}Connection: close\r\n\r\n", head.concat())?;
    let mut answer = [0; 64 << 10];
    loop {
        let read = upstream.read(&mut answer)?;
        if read == 0 {
            return Ok(());
        }
        client.write_all(&answer[..read])?;
    }
}
