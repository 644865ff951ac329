"""What the name of a subfolder of pictures looks like: a date, a number, a slide, a class, a stain, a place.

The words are those of English, German, French, Spanish, Portuguese, Italian, Dutch and Indonesian. A name is
of a kind where all of its words are: 'May 2024' is a date, 'May-Grünwald' a stain, 'lahore 2024' a place.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from reddino.smears.spelling import tidy

#: `time`: a month, a year, a weekday or a time; days are slides. `number`: digits with separators or units,
#: numerals. `plain`: words that any folder of pictures may have, such as 'new images 2'. `scale`: a
#: magnification. `place`: all else.
Look = Literal["time", "number", "plain", "slide", "patient", "stain", "scale", "class", "aside", "place"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TIMES = _words(
    """
    january february march april may june july august september october november december
    jan feb mar apr jun jul aug sep sept oct nov dec
    monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri sat sun
    day week month year date time quarter q w kw cw am pm hour morning evening today yesterday
    spring summer autumn fall winter
    januar jaenner janner februar marz maerz mai juni juli oktober dezember okt dez maer mrz
    montag dienstag mittwoch donnerstag freitag samstag sonnabend sonntag
    tag woche monat jahr datum uhr fruhjahr fruhling sommer herbst
    janvier fevrier mars avril juin juillet aout septembre octobre novembre decembre janv fevr avr juil
    lundi mardi mercredi jeudi vendredi samedi dimanche jour semaine mois annee printemps ete automne hiver
    enero febrero marzo abril mayo junio julio agosto septiembre setiembre octubre noviembre diciembre
    ene abr ago dic lunes martes miercoles jueves viernes sabado domingo dia semana mes ano fecha
    primavera verano otono invierno
    janeiro fevereiro marco maio junho julho setembro outubro novembro dezembro fev out
    segunda terca quarta quinta sexta inverno verao outono
    gennaio febbraio aprile maggio giugno luglio settembre ottobre dicembre gen mag giu lug ott
    lunedi martedi mercoledi giovedi venerdi giorno settimana mese anno estate
    januari februari maart mei augustus mrt maandag dinsdag woensdag donderdag vrijdag zaterdag zondag
    dag maand jaar herfst zomer
    maret agustus desember agu senin selasa rabu kamis jumat sabtu minggu hari bulan tahun tanggal
    """
)
_NUMERALS = _words(
    """
    one two three four five six seven eight nine ten first second third fourth fifth last
    eins zwei drei vier funf erste zweite dritte un deux trois quatre cinq premier deuxieme troisieme
    uno dos tres cuatro cinco primero segundo tercero um dois due tre primo terzo
    een twee drie satu dua tiga empat lima pertama kedua
    ii iii iv vi vii viii ix xi xii no nr num number nummer numero n
    """
)
_UNITS = _words("um mm nm cm mg ug ng ml ul dl l c k ph px kb mb min sec s h hr hrs d g ms t z")
_PLAIN = _words(
    """
    new old data dataset image images img imgs pic pics picture pictures photo photos file files folder
    dir untitled copy misc various raw original originals temp tmp part set series scan scans field fields
    fov fovs view views frame frames exp experiment session visit round all sample samples upload uploads
    export dcim
    neu neue alt alte daten bild bilder aufnahme aufnahmen foto fotos ordner kopie diverse teil
    nouveau nouvelle nouveaux ancien donnees dossier copie partie
    nuevo nueva nuevas viejo datos imagen imagenes carpeta copia parte
    novo nova dados imagem imagens pasta nuovo nuova dati immagine immagini cartella
    nieuw nieuwe oud gegevens afbeelding afbeeldingen kopie deel baru lama gambar berkas salinan bagian
    """
)
_LINKS = _words("of and the de der die das und et y e di du la le el")
_STAINS = _words(
    """
    giemsa wright leishman field fields romanowsky romanovsky grunwald gruenwald jenner mgg mggs pap pas
    papanicolaou diff quik diffquik hemacolor haemacolor he hematoxylin haematoxylin hamatoxylin eosin
    acridine
    unstained dapi methylene azur azure rapi stain stains stained staining farbung gefarbt ungefarbt
    coloration
    tincion tenido coloracao colorazione kleuring pewarnaan modified dif
    """
)
#: Words that stand in the name of a stain, and mean something else by themselves.
_OF_STAINS = _words("may blue orange rapid quick and new methode method h e")
#: Those that alone mark a name as that of a stain.
_STAINING = _STAINS - {"field", "fields", "he", "pap", "modified", "diff", "dif"}
_OF_SCALES = _words("x oil immersion objective obj lens magnification mag ol huile aceite olio")
_SLIDES = (
    "slides?|smears?|samples?|specimens?|films?|s|objekttrager|ausstriche?|praparate?|preparat|lames?|frottis|"
    "laminas?|frotis|portaobjetos|preparacion|vetrin[oi]|striscio|preparaat|uitstrijkje|preparat|sediaan|apusan"
)
_PATIENTS = (
    "patients?|patientin|patienten|pat|cases?|subjects?|donors?|p|c|probande?n?|fall|falle|spender|pacientes?|"
    "casos?|pazient[ei]|caso|casi|cas|donneurs?|donantes?|doadores?|donatori|pasien|kasus|pt"
)
#: A day, and a time on it: pictures of one day are together, as those of a slide.
_DAY = re.compile(
    r"((19|20)\d\d(\d{4}|[-_. ]\d{1,2}[-_. ]\d{1,2})|\d{1,2}[-_. ]\d{1,2}[-_. ](19|20)?\d\d)"
    r"([-_ t][\d:]{2,8}z?)?"
)
_SLIDE = re.compile(rf"({_SLIDES})?[-_ #.]*\d+[a-z]?")
_PATIENT = re.compile(rf"({_PATIENTS})[-_ #.]*\d+[a-z]?")
_SCALE = re.compile(r"(x ?\d+|\d+ ?x)")
#: Folders that hold no smears of their own, without the s of a plural.
_ASIDE = _words(
    """
    mask label annotation groundtruth gt segmentation overlay thumbnail preview output result crop
    maske masken masque mascara maschera etikett etiquette etiqueta etichetta ergebnisse resultat resultado
    risultati
    resultaten anotacion hasil
    """
)
#: What classes of blood cells and of smears are called, without the s of a plural.
_CLASSES = _words(
    """
    normal abnormal healthy diseased positive negative control other unknown infected uninfected parasitized
    parasitised ring trophozoite schizont gametocyte falciparum vivax malariae ovale malaria babesia
    rbc wbc platelet redcell whitecell redbloodcell whitebloodcell erythrocyte leukocyte neutrophil
    lymphocyte
    monocyte eosinophil basophil reticulocyte normalcell discocyte round roundrbc ovalocyte elliptocyte
    stomatocyte macrocyte microcyte spherocyte target targetcell codocyte teardrop dacrocyte burr burrcell
    echinocyte acanthocyte schistocyte fragmentedrbc fragment sickle sicklecell drepanocyte hypochromia
    polychromasia anisocyte clump overlap overlappingcell uncategorised uncategorized angled
    borderlineovalocyte tworoundrbc twooverlappingcell threeoverlappingcell doublet artefact artifact anemia
    anaemia thalassemia
    thalassaemia irondeficiency southeastasianovalocytosis hereditaryspherocytosis g6pd cll aml all cml
    leukemia leukaemia sick ill disease case
    gesund gesunde krank kranke positiv negativ kontrolle infiziert nichtinfiziert unbekannt andere
    erythrozyten leukozyten thrombozyten sichelzelle sichelzellen retikulozyten lymphozyten blutplattchen
    anamie
    normale normaux anormal anormale sain sains malade positif negatif temoin infecte autre inconnu
    globulerouge globulesrouge globuleblanc globulesblanc plaquette drepanocytose anemie leucocyte
    sano enfermo positivo negativo infectado noinfectado otro desconocido eritrocito leucocito plaqueta
    anormales
    saudavel doente normai controle controlo infetado outro hemacia
    malato controllo infetto altro eritrociti leucociti piastrine
    gezond ziek positief negatief geinfecteerd ander
    sehat sakit terinfeksi lainnya eritrosit leukosit trombosit
    """
)


def look_of(name: str) -> Look:
    """Return what the name of a subfolder looks like."""
    plain = folded(name)
    given, numbers = set(re.findall(r"[^\W\d_]+", plain)), bool(re.search(r"\d", plain))
    rules: tuple[tuple[Look, bool], ...] = (
        ("aside", key(name) in _ASIDE),
        ("class", key(name) in _CLASSES),
        ("slide", bool(_DAY.fullmatch(plain))),
        ("time", _is_date(plain)),
        ("patient", bool(_PATIENT.fullmatch(plain))),
        ("slide", bool(_SLIDE.fullmatch(plain)) and not _SCALE.fullmatch(plain)),
        (
            "stain",
            given == {"h", "e"} or (bool(given & _STAINING) and given <= _STAINS | _OF_STAINS | _PLAIN),
        ),
        ("scale", numbers and "x" in given and given <= _OF_SCALES),
        ("number", given <= _NUMERALS or (numbers and given <= _UNITS | _NUMERALS)),
        ("time", bool(given & _TIMES) and given <= _TIMES | _NUMERALS | _PLAIN | _LINKS | _UNITS),
        ("plain", not given <= _LINKS and given <= _PLAIN | _LINKS | _NUMERALS | _UNITS),
    )
    return next((look for look, is_so in rules if is_so), "place")


def _is_date(plain: str) -> bool:
    """Return whether digits without a separator are a year, a month of one, or a day of one."""
    if not re.fullmatch(r"\d{4}|\d{6}|\d{8}|\d{12}|\d{14}", plain):
        return False
    if len(plain) == 4:
        return 1950 <= int(plain) <= 2099
    if len(plain) == 6:  # 130524 may be the number of a slide
        return 1950 <= int(plain[:4]) <= 2099 and 1 <= int(plain[4:]) <= 12
    orders = ((plain[:4], plain[4:6], plain[6:8]), (plain[4:8], plain[2:4], plain[:2]))
    days = [*orders, (plain[4:8], plain[:2], plain[2:4])] if len(plain) == 8 else orders[:1]
    return any(
        1950 <= int(year) <= 2099 and 1 <= int(month) <= 12 and 1 <= int(day) <= 31
        for year, month, day in days
    )


def folded(name: str) -> str:
    """Return a name in lower case and without accents."""
    apart = unicodedata.normalize("NFKD", tidy(name).casefold())
    return "".join(letter for letter in apart if not unicodedata.combining(letter)).strip()


def key(name: str) -> str:
    """Return a name's letters and digits, folded, without the s of a plural."""
    return "".join(letter for letter in folded(name) if letter.isalnum()).removesuffix("s")
