pub mod netlink;
pub mod program;
