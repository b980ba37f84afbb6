"""The command line: thin verbs over the library; each is imported only when it is called."""
