"""Where instances live: the contract (`base`) and those who keep it (`process`, `fake`, `none`)."""
