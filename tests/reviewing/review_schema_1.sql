BEGIN TRANSACTION;
CREATE TABLE cells (
	"row" INTEGER NOT NULL, 
	columns TEXT NOT NULL, 
	PRIMARY KEY ("row")
);
INSERT INTO "cells" VALUES(0,'{"path": "field0.png", "source": "lilac", "slide": "slide0", "x": 10.0, "y": 30.0, "w": 16.0, "h": 18.0}');
INSERT INTO "cells" VALUES(1,'{"path": "field0.png", "source": "lilac", "slide": "slide0", "x": 30.0, "y": 30.0, "w": 16.0, "h": 18.0}');
INSERT INTO "cells" VALUES(2,'{"path": "field0.png", "source": "lilac", "slide": "slide0", "x": 50.0, "y": 30.0, "w": 16.0, "h": 18.0}');
INSERT INTO "cells" VALUES(3,'{"path": "field0.png", "source": "lilac", "slide": "slide0", "x": 70.0, "y": 30.0, "w": 16.0, "h": 18.0}');
INSERT INTO "cells" VALUES(4,'{"path": "field1.png", "source": "lilac", "slide": "slide0", "x": 10.0, "y": 30.0, "w": 16.0, "h": 18.0}');
INSERT INTO "cells" VALUES(5,'{"path": "field1.png", "source": "lilac", "slide": "slide0", "x": 30.0, "y": 30.0, "w": 16.0, "h": 18.0}');
CREATE TABLE class_changes (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	class_number INTEGER NOT NULL, 
	reader INTEGER NOT NULL, 
	at VARCHAR(40) NOT NULL, 
	change VARCHAR(10) NOT NULL, 
	name TEXT, 
	hotkey VARCHAR(1), 
	into_class INTEGER, 
	FOREIGN KEY(class_number) REFERENCES classes (number), 
	FOREIGN KEY(reader) REFERENCES readers (number), 
	FOREIGN KEY(into_class) REFERENCES classes (number)
);
INSERT INTO "class_changes" VALUES(1,1,1,'2026-11-28T19:56:18.895718+00:00','added','ring','1',NULL);
INSERT INTO "class_changes" VALUES(2,2,1,'2026-11-28T19:56:18.911816+00:00','added','early ring','2',NULL);
INSERT INTO "class_changes" VALUES(3,3,1,'2026-11-28T19:56:18.931328+00:00','added','round','3',NULL);
INSERT INTO "class_changes" VALUES(4,1,2,'2026-11-28T19:56:19.199139+00:00','renamed','ring form',NULL,NULL);
INSERT INTO "class_changes" VALUES(5,2,2,'2026-11-28T19:56:19.212882+00:00','merged',NULL,NULL,1);
INSERT INTO "class_changes" VALUES(6,3,2,'2026-11-28T19:56:19.227199+00:00','hotkey',NULL,'9',NULL);
CREATE TABLE classes (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at VARCHAR(40) NOT NULL
);
INSERT INTO "classes" VALUES(1,'2026-11-28T19:56:18.880976+00:00');
INSERT INTO "classes" VALUES(2,'2026-11-28T19:56:18.911301+00:00');
INSERT INTO "classes" VALUES(3,'2026-11-28T19:56:18.930929+00:00');
CREATE TABLE classifiers (
	number INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	at VARCHAR(40) NOT NULL, 
	PRIMARY KEY (number), 
	UNIQUE (name)
);
INSERT INTO "classifiers" VALUES(1,'refit 1','2026-11-28T19:56:18.968757+00:00');
INSERT INTO "classifiers" VALUES(2,'p','2026-11-28T19:56:19.243474+00:00');
CREATE TABLE event_cells (
	event INTEGER NOT NULL, 
	cell INTEGER NOT NULL, 
	classifier INTEGER, 
	suggested TEXT, 
	probability FLOAT, 
	PRIMARY KEY (event, cell), 
	FOREIGN KEY(event) REFERENCES events (number), 
	FOREIGN KEY(cell) REFERENCES cells ("row"), 
	FOREIGN KEY(classifier) REFERENCES classifiers (number)
);
INSERT INTO "event_cells" VALUES(1,0,1,'round',0.75);
INSERT INTO "event_cells" VALUES(1,1,NULL,NULL,NULL);
INSERT INTO "event_cells" VALUES(2,2,NULL,NULL,NULL);
INSERT INTO "event_cells" VALUES(3,0,NULL,NULL,NULL);
INSERT INTO "event_cells" VALUES(4,0,NULL,NULL,NULL);
INSERT INTO "event_cells" VALUES(5,0,NULL,NULL,NULL);
INSERT INTO "event_cells" VALUES(6,3,NULL,NULL,NULL);
INSERT INTO "event_cells" VALUES(8,4,NULL,NULL,NULL);
INSERT INTO "event_cells" VALUES(9,5,NULL,NULL,NULL);
CREATE TABLE events (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	token VARCHAR(100) NOT NULL, 
	at VARCHAR(40) NOT NULL, 
	reader INTEGER NOT NULL, 
	kind VARCHAR(10) NOT NULL, 
	class_number INTEGER, 
	note TEXT NOT NULL, 
	concerns INTEGER, 
	seconds FLOAT, 
	deciding BOOLEAN NOT NULL, 
	origin VARCHAR(10) NOT NULL, 
	UNIQUE (token), 
	FOREIGN KEY(reader) REFERENCES readers (number), 
	FOREIGN KEY(class_number) REFERENCES classes (number), 
	FOREIGN KEY(concerns) REFERENCES events (number)
);
INSERT INTO "events" VALUES(1,'dad527c6cd4444f18c5ec0e9a14cdf30','2026-11-28T19:56:18.953368+00:00',1,'label',1,'',NULL,1.5,0,'page');
INSERT INTO "events" VALUES(2,'024064e478a5443c97d574e2f3f98b8b','2026-11-28T19:56:19.003633+00:00',1,'label',2,'',NULL,NULL,0,'page');
INSERT INTO "events" VALUES(3,'20b0a2abd6da427d8e6b02a0777917d7','2026-11-28T19:56:19.029723+00:00',2,'label',3,'',NULL,NULL,0,'page');
INSERT INTO "events" VALUES(4,'88e4d927b09b4d8284b3f5f3a60a229c','2026-11-28T19:56:19.051421+00:00',2,'note',NULL,'folded; it''s thick',NULL,NULL,0,'page');
INSERT INTO "events" VALUES(5,'17bbcfa2c9574edb955bdeedd23a75f0','2026-11-28T19:56:19.083497+00:00',3,'label',1,'',NULL,NULL,1,'page');
INSERT INTO "events" VALUES(6,'bb0d056b223941928da32987efb6a8e7','2026-11-28T19:56:19.104089+00:00',2,'artefact',NULL,'',NULL,NULL,0,'page');
INSERT INTO "events" VALUES(7,'e58661889e184783ab6fe573a23cfe6e','2026-11-28T19:56:19.129548+00:00',2,'undo',NULL,'',6,NULL,0,'page');
INSERT INTO "events" VALUES(8,'a591506c744f41ccb9e596bca2dc8488','2026-11-28T19:56:19.156017+00:00',2,'skip',NULL,'',NULL,NULL,0,'page');
INSERT INTO "events" VALUES(9,'8fc09543d1a64ee0a602c0e9e1acc9d8','2026-11-28T19:56:19.179991+00:00',2,'unsure',NULL,'',NULL,NULL,0,'page');
CREATE TABLE facts (
	name VARCHAR(40) NOT NULL, 
	value TEXT, 
	PRIMARY KEY (name)
);
INSERT INTO "facts" VALUES('schema','1');
INSERT INTO "facts" VALUES('begun','2026-11-28T19:56:18.819357+00:00');
INSERT INTO "facts" VALUES('version','0.2.0');
INSERT INTO "facts" VALUES('rows','8');
INSERT INTO "facts" VALUES('cells','edf8164fd562a952');
INSERT INTO "facts" VALUES('root','/pictures');
INSERT INTO "facts" VALUES('root_beside','../../pictures');
CREATE TABLE readers (
	number INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	at VARCHAR(40) NOT NULL, 
	PRIMARY KEY (number), 
	UNIQUE (name)
);
INSERT INTO "readers" VALUES(1,'Ada','2026-11-28T19:56:18.895008+00:00');
INSERT INTO "readers" VALUES(2,'Ben','2026-11-28T19:56:19.029568+00:00');
INSERT INTO "readers" VALUES(3,'Cleo','2026-11-28T19:56:19.083262+00:00');
CREATE TABLE sortings (
	classifier INTEGER NOT NULL, 
	"row" INTEGER NOT NULL, 
	label TEXT NOT NULL, 
	probability FLOAT NOT NULL, 
	PRIMARY KEY (classifier, "row"), 
	FOREIGN KEY(classifier) REFERENCES classifiers (number)
);
INSERT INTO "sortings" VALUES(2,6,'ring',0.5);
CREATE INDEX events_by_reader ON events (reader, number);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('classes',3);
INSERT INTO "sqlite_sequence" VALUES('class_changes',6);
INSERT INTO "sqlite_sequence" VALUES('events',9);
COMMIT;
