//! Does everything pointed at exist, is every name free?
