"""Serve pages on this machine: refuse foreign requests, bind sockets, share player code between pages."""
