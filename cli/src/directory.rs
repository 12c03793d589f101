//! The directory in which programs run.

use std::net::IpAddr;
use std::path::Path;

use ringhold_client::{Client, ErrorCode};

use crate::arguments::Server;
use crate::failure::Failure;
use crate::output;

/// The directory that the user named, as an absolute path; none if it is empty or not given.
///
/// # Errors
/// [`Failure`] for one whose name is not UTF-8, or if the directory of this process is gone.
pub(crate) fn named(directory: Option<&Path>) -> Result<Option<String>, Failure> {
    let Some(directory) = directory.filter(|path| !path.as_os_str().is_empty()) else {
        return Ok(None);
    };
    let absolute = std::path::absolute(directory)
        .map_err(|error| Failure::io(&format!("find {}", directory.display()), &error))?;
    let text = absolute.into_os_string().into_string();
    text.map(Some).map_err(|name| {
        let what = format!("--directory {} is not UTF-8", name.display());
        Failure::new(ErrorCode::InvalidArgument, what)
    })
}

/// Where the programs of a map run: where the user says; else in the directory of this process, if every member is on this
/// machine; else each in a scratch directory of its member (none).
///
/// # Errors
/// [`Failure`] as of [`named`].
pub(crate) fn of_map(
    directory: Option<&Path>,
    server: &Server,
    client: &Client,
) -> Result<Option<String>, Failure> {
    if directory.is_some() {
        return named(directory);
    }
    let table = client.routing_table();
    let members = table
        .members
        .iter()
        .map(|member| member.client_address.as_str());
    let asked = server.server.iter().map(String::as_str);
    if !members.chain(asked).all(is_loopback) {
        return Ok(None);
    }
    let here = std::env::current_dir().map(|here| here.into_os_string().into_string());
    if let Ok(Ok(here)) = here {
        return Ok(Some(here));
    }
    output::say(
        "this directory is gone, or its name is not UTF-8: tasks run in a scratch directory of the member",
    );
    Ok(None)
}

/// Whether an address, `host:port`, leads to this machine only.
fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let number = host.trim_start_matches('[').trim_end_matches(']');
    let number: Result<IpAddr, _> = number.parse();
    host == "localhost" || number.is_ok_and(|number| number.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_lead_to_this_machine_alone_are_loopback() {
        for address in [
            "127.0.0.1:7400",
            "[::1]:7400",
            "localhost:7400",
            "127.9.9.9:1",
        ] {
            assert!(is_loopback(address), "{address}");
        }
        for address in [
            "0.0.0.0:7400",
            "m1:7400",
            "10.0.0.1:7400",
            "[2001:db8::1]:7400",
        ] {
            assert!(!is_loopback(address), "{address}");
        }
    }

    #[test]
    fn a_directory_is_handed_on_as_an_absolute_path_and_an_empty_one_not_at_all() {
        assert_eq!(named(Some(Path::new(""))), Ok(None));
        assert_eq!(named(None), Ok(None));
        assert_eq!(named(Some(Path::new("/srv"))), Ok(Some("/srv".to_owned())));
        let relative = named(Some(Path::new("data"))).expect("text");
        assert!(relative.is_some_and(|path| path.starts_with('/') && path.ends_with("/data")));
    }
}
