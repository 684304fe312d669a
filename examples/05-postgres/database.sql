-- A role for the pipeline and a database of its own. The password is an example's: make your own.
CREATE ROLE trackmate LOGIN PASSWORD 'trackmate';
CREATE DATABASE trackmate OWNER trackmate;
