"""Knowledge graphs: reading, downloading and auditing data sets, and views of their triples."""
