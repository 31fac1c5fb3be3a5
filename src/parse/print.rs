//! The canonical layout (`ctpolicy fmt`).
