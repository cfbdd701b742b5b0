"""The routes, one module for each noun. Each declares its routes and makes one RPC for each of them."""
