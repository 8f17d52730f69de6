"""What holds of every manifest, source and notebook, whatever was written into it; see `profiles` for the nightly mode."""
