//! The mirror caches behind the machine plane's door.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use crate::artefacts::mirror::{self, Cache, Limits};
use crate::control::Control;
use crate::model::Refusal;
use crate::serve::http::mirror::Finding;
use crate::serve::http::{Found, Mirrors, Missing};

/// The caches of a site.
struct Caches {
    cache: Cache,
    control: Arc<Control>,
    declared: std::sync::Mutex<crate::model::Digest>,
}

/// Opens the caches below the state directory.
///
/// # Errors
/// If their directory cannot be made.
pub(super) fn mirrors(control: &Arc<Control>, state: &Path) -> Result<Arc<dyn Mirrors>, Refusal> {
    let site = control.site();
    let cache = Cache::open(state, &site.mirrors, Limits::default())
        .map_err(|e| Refusal::failed(e.to_string()))?;
    Ok(Arc::new(Caches {
        cache,
        control: control.clone(),
        declared: std::sync::Mutex::new(site.revision),
    }))
}

impl Caches {
    /// Follows a new revision of the site, when the first request after it comes.
    fn follow(&self) {
        let site = self.control.site();
        let mut declared = self
            .declared
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if *declared != site.revision {
            self.cache.declare(&site.mirrors);
            *declared = site.revision;
        }
    }
}

impl Mirrors for Caches {
    fn find<'a>(
        &'a self,
        client: Ipv4Addr,
        mirror: &'a str,
        path: &'a str,
        head: bool,
    ) -> Finding<'a> {
        Box::pin(async move {
            self.follow();
            match self.cache.get(client.into(), mirror, path, head).await {
                Ok(mirror::Found::File {
                    file,
                    size,
                    etag,
                    last_modified,
                    content_type,
                }) => Ok(Found::File {
                    file,
                    size,
                    etag,
                    last_modified,
                    content_type,
                }),
                Ok(mirror::Found::Growing {
                    bytes,
                    size,
                    last_modified,
                    content_type,
                }) => {
                    let bytes = Box::pin(bytes);
                    Ok(Found::Stream {
                        bytes,
                        size,
                        last_modified,
                        content_type,
                    })
                }
                Err(mirror::Missing::Busy) => {
                    self.control.tally().count("mirror.refused");
                    Err(Missing::Busy)
                }
                Err(mirror::Missing::NotFound) => Err(Missing::NotFound),
                Err(mirror::Missing::Upstream(why)) => Err(Missing::Upstream(why)),
            }
        })
    }
}
