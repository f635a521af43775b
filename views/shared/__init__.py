"""What several pages share: the server, the sidebar, forms, words. No page is imported here."""
